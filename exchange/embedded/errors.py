"""What can go wrong with the embedded broker: one code, one cause, one thing to do; French first, English second."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """A sentence for a person, in the two languages of the project."""

    fr: str
    en: str


class _Entry(NamedTuple):
    cause: Text
    todo: Text


CATALOGUE: dict[str, _Entry] = {
    "jar_corrupted": _Entry(
        Text(
            "le fichier {name} de Kafka est abîmé et n'a pas pu être remplacé ({detail}).",
            "Kafka's file {name} is damaged and could not be replaced ({detail}).",
        ),
        Text(
            "Vérifiez le réseau et le disque, puis relancez ; sinon supprimez {path}.",
            "Check the network and the disk, then start again; otherwise delete {path}.",
        ),
    ),
    "no_network": _Entry(
        Text(
            "Kafka n'est pas encore sur cette machine et le dépôt ne répond pas ({detail}).",
            "Kafka is not on this machine yet and the repository does not answer ({detail}).",
        ),
        Text(
            "Le réseau ne sert qu'au premier lancement : connectez-vous (HTTPS_PROXY est suivi), ou nommez un miroir "
            "Maven dans ACCORD_MAVEN, ou copiez ici le dossier {path} d'une autre machine.",
            "The network is needed for the first start only: connect (HTTPS_PROXY is followed), or name a Maven "
            "mirror in ACCORD_MAVEN, or copy the folder {path} from another machine.",
        ),
    ),
    "cache_unusable": _Entry(
        Text("le dossier {path} ne peut pas être écrit ({detail}).", "the folder {path} cannot be written ({detail})."),
        Text(
            "Donnez-vous le droit d'y écrire, ou choisissez un autre dossier avec ACCORD_CACHE.",
            "Give yourself the right to write there, or choose another folder with ACCORD_CACHE.",
        ),
    ),
    "disk_full": _Entry(
        Text(
            "le disque de {path} est plein : {free_mib} Mio libres, {need_mib} nécessaires.",
            "the disk of {path} is full: {free_mib} MiB free, {need_mib} needed.",
        ),
        Text("Libérez de la place, puis relancez.", "Free some space, then start again."),
    ),
    "port_taken": _Entry(
        Text("le port {port} est déjà pris.", "port {port} is already taken."),
        Text(
            "Arrêtez le programme qui l'occupe, ou laissez Accord choisir un port libre.",
            "Stop the program that holds it, or let Accord choose a free port.",
        ),
    ),
    "data_in_use": _Entry(
        Text(
            "déjà en marche : un autre programme se sert de {path} ({detail}).",
            "already running: another program uses {path} ({detail}).",
        ),
        Text(
            "Servez-vous de ce broker, arrêtez-le, ou donnez un autre dossier de données.",
            "Use that broker, stop it, or give another data folder.",
        ),
    ),
    "data_unusable": _Entry(
        Text("le dossier {path} ne peut pas être écrit ({detail}).", "the folder {path} cannot be written ({detail})."),
        Text(
            "Donnez-vous le droit d'y écrire, ou choisissez un autre dossier de données.",
            "Give yourself the right to write there, or choose another data folder.",
        ),
    ),
    "broker_failed": _Entry(
        Text("Kafka ne démarre pas ({detail}).", "Kafka does not start ({detail})."),
        Text("Lisez son journal : {path}", "Read its log: {path}"),
    ),
    "java_missing": _Entry(
        Text(
            "le Java embarqué ne s'exécute pas sur cette machine ({detail}).",
            "the bundled Java does not run on this machine ({detail}).",
        ),
        Text(
            "Réinstallez les dépendances (uv sync), ou choisissez un autre Kafka avec ACCORD_KAFKA=hôte:port.",
            "Install the dependencies again (uv sync), or choose another Kafka with ACCORD_KAFKA=host:port.",
        ),
    ),
    "no_docker": _Entry(
        Text(
            "ACCORD_KAFKA=testcontainers demande un moteur Docker, et aucun ne répond ({detail}).",
            "ACCORD_KAFKA=testcontainers needs a Docker engine, and none answers ({detail}).",
        ),
        Text(
            "Démarrez Docker, ou laissez ACCORD_KAFKA=embedded.",
            "Start Docker, or leave ACCORD_KAFKA=embedded.",
        ),
    ),
    "unreachable": _Entry(
        Text("aucun broker Kafka ne répond à {address}.", "no Kafka broker answers at {address}."),
        Text(
            "Vérifiez l'adresse et que le broker est en marche.",
            "Check the address and that the broker is running.",
        ),
    ),
    "unknown_choice": _Entry(
        Text("ACCORD_KAFKA ne peut pas valoir « {choice} ».", "ACCORD_KAFKA cannot be “{choice}”."),
        Text(
            "Valeurs possibles : embedded, testcontainers, ou hôte:port.",
            "Possible values: embedded, testcontainers, or host:port.",
        ),
    ),
}


class EmbeddedError(Exception):
    """A failure a person can act on. `code` is stable; `cause` and `todo` are `Text`s; `str()` is both languages, a line each."""

    def __init__(self, code: str, **facts: object) -> None:
        entry = CATALOGUE[code]
        self.code = code
        self.facts = facts
        self.cause = _filled(entry.cause, facts)
        self.todo = _filled(entry.todo, facts)
        super().__init__(f"{self.cause.fr} {self.todo.fr}\n{self.cause.en} {self.todo.en}")


def _filled(text: Text, facts: dict[str, object]) -> Text:
    return Text(text.fr.format_map(facts), text.en.format_map(facts))
