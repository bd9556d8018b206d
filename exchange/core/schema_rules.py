"""The rules a schema keeps, alone, from version to version and in a registry: what is wrong and what to do, in both languages."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Rule(StrEnum):
    """Every reason a schema may be refused for."""

    # Alone: what no codec may be made of (the words of `exchange.core.avro.SchemaReason`)
    NOT_AVRO = "not_avro"
    NOT_A_RECORD = "not_a_record"
    RECURSIVE = "recursive"
    ZERO_SIZE = "zero_size"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    LOGICAL_TYPE = "logical_type"
    AMBIGUOUS_UNION = "ambiguous_union"
    # Alone: what a reader could not understand
    FILE_NAME = "file_name"
    NAMESPACE = "namespace"
    TYPE_NAME = "type_name"
    FIELD_NAME = "field_name"
    SYMBOL_NAME = "symbol_name"
    DOC_MISSING = "doc_missing"
    DOC_MARKUP = "doc_markup"
    ALIAS = "alias"
    DEFAULT_TYPE = "default_type"
    NULL_DEFAULT = "null_default"
    CLOSED_ENUM = "closed_enum"
    SCOPE_MISSING = "scope_missing"
    # Between two versions
    UNREADABLE = "unreadable"
    NAME_CHANGED = "name_changed"
    NAMESPACE_CHANGED = "namespace_changed"
    TYPE_CHANGED = "type_changed"
    PROMOTION = "promotion"
    SIZE_CHANGED = "size_changed"
    BRANCHES_CHANGED = "branches_changed"
    SYMBOLS_CHANGED = "symbols_changed"
    FIELD_ADDED = "field_added"
    FIELD_REMOVED = "field_removed"
    DEFAULT_CHANGED = "default_changed"
    SCOPE_CHANGED = "scope_changed"
    # In a registry
    NOT_REGISTERED = "not_registered"
    REGISTERED_CHANGED = "registered_changed"
    REGISTERED_MISSING = "registered_missing"
    REGISTRY_UNREADABLE = "registry_unreadable"
    REGISTRY_UNAVAILABLE = "registry_unavailable"
    REGISTRY_LEVEL = "registry_level"
    REGISTRY_OTHER = "registry_other"
    REGISTRY_ID = "registry_id"
    REGISTRY_REFUSES = "registry_refuses"


class Text(NamedTuple):
    """A sentence for a person."""

    fr: str
    en: str


class Entry(NamedTuple):
    """What is wrong, and what to do. A `warning` refuses nothing."""

    cause: Text
    todo: Text
    warning: bool = False


class Finding(NamedTuple):
    """A rule not kept: by which schema, e.g. `ask.v1`, and where in it. `detail` says nothing of a datum."""

    rule: Rule
    schema: str
    where: str = ""
    detail: str = ""

    @property
    def refused(self) -> bool:
        return not RULES[self.rule].warning


def _entry(*texts: str, warning: bool = False) -> Entry:
    cause_fr, cause_en, todo_fr, todo_en = texts
    return Entry(Text(cause_fr, cause_en), Text(todo_fr, todo_en), warning)


_NEW_VERSION = (
    "rétablir l'ancien, et ajouter un champ sous un autre nom",
    "put the former back, and add a field under another name",
)
_ASK_OPERATOR = ("prévenir l'exploitant du registre", "tell the registry's operator")

RULES: dict[Rule, Entry] = {
    Rule.NOT_AVRO: _entry("ce n'est pas un schéma Avro", "this is no Avro schema", "corriger le JSON, les noms et les types", "correct the JSON, names and types"),
    Rule.NOT_A_RECORD: _entry("le schéma n'est pas un enregistrement", "the schema is no record", "en faire un enregistrement", "make it a record"),
    Rule.RECURSIVE: _entry("un type se contient lui-même : 200 ko arrêteraient un lecteur", "a type contains itself: 200 kB would end a reader", "borner la profondeur par des types distincts", "bound the depth with distinct types"),
    Rule.ZERO_SIZE: _entry("un type ne prend aucun octet : cinq octets en feraient cent millions", "a type takes no byte: five bytes would make 1e8 of it", "lui donner un champ, ou l'ôter", "give it a field, or remove it"),
    Rule.TOO_DEEP: _entry("plus de seize niveaux", "more than sixteen levels", "aplatir", "flatten it"),
    Rule.TOO_LARGE: _entry("schéma de plus de 256 Kio", "a schema above 256 KiB", "le partager en plusieurs jeux de données", "split it into several data sets"),
    Rule.LOGICAL_TYPE: _entry("type logique : aucun vérificateur ne voit qu'il change", "a logical type: no checker sees it change", "mettre l'unité dans le nom (at_ms) et le sens dans doc", "put the unit in the name (at_ms) and the meaning in doc"),
    Rule.AMBIGUOUS_UNION: _entry("une donnée aurait deux écritures (union ambiguë)", "a datum would have two encodings (ambiguous union)", "garder un seul type de nombre, de texte ou de suite", "keep one type of number, text or sequence"),
    Rule.FILE_NAME: _entry("le fichier ne s'appelle pas <sujet>.v<version>.avsc", "the file is not called <subject>.v<version>.avsc", "le renommer : minuscules, tirets, un point avant le jeu", "rename it: lower case, hyphens, one dot before the data set"),
    Rule.NAMESPACE: _entry("espace de noms autre que fr.accord (et le fournisseur, pour un jeu)", "namespace other than fr.accord (and the provider, for a data set)", "corriger namespace", "correct namespace"),
    Rule.TYPE_NAME: _entry("un type ne s'écrit pas CommeCeci", "a type is not spelt LikeThis", "le renommer", "rename it"),
    Rule.FIELD_NAME: _entry("un champ du bus ne s'écrit pas comme_ceci", "a field of the bus is not spelt like_this", "le renommer (un jeu de données garde les noms de l'État)", "rename it (a data set keeps the State's names)"),
    Rule.SYMBOL_NAME: _entry("un symbole du bus ne s'écrit pas comme_ceci", "a symbol of the bus is not spelt like_this", "le renommer", "rename it"),
    Rule.DOC_MISSING: _entry("doc manque", "doc is missing", "dire en une phrase ce que c'est, et l'unité", "say in a sentence what it is, and the unit"),
    Rule.DOC_MARKUP: _entry("doc contient du balisage ou un caractère de contrôle", "doc holds markup or a control character", "l'écrire en texte simple", "write it as plain text"),
    Rule.ALIAS: _entry("alias : nos lecteurs vont par nom, et l'ignorent", "an alias: our readers go by name and ignore it", "garder le nom, ou ajouter un champ", "keep the name, or add a field"),
    Rule.DEFAULT_TYPE: _entry("default n'est pas du type du champ", "default is not of the field's type", "le corriger (premier type d'une union)", "correct it (a union's first type)"),
    Rule.NULL_DEFAULT: _entry("un champ qui peut manquer ne met pas null d'abord, par défaut", "a field that may be absent does not put null first, as default", "écrire [\"null\", …] et \"default\": null", "write [\"null\", …] and \"default\": null"),
    Rule.CLOSED_ENUM: _entry("énumération sans default : aucun symbole ne s'ajoutera jamais", "an enum without default: no symbol will ever be added", "voulu pour un verdict ; sinon une chaîne, ou un default", "meant for a verdict; otherwise a string, or a default", warning=True),
    Rule.SCOPE_MISSING: _entry("un champ racine d'un jeu de données ne dit pas quel périmètre l'ouvre", "a root field of a data set does not say which scope opens it", "ajouter \"scope\": le périmètre de l'État", "add \"scope\": the State's scope"),
    Rule.UNREADABLE: _entry("une version n'en lit pas une autre (vérificateur d'Apache Avro)", "one version does not read another (Apache Avro's checker)", *_NEW_VERSION),
    Rule.NAME_CHANGED: _entry("un type a changé de nom", "a type changed its name", "rétablir le nom", "put the name back"),
    Rule.NAMESPACE_CHANGED: _entry("un type a changé d'espace de noms, ce que le vérificateur ne voit pas", "a type changed its namespace, which the checker does not see", "rétablir l'espace de noms", "put the namespace back"),
    Rule.TYPE_CHANGED: _entry("un type a changé", "a type changed", *_NEW_VERSION),
    Rule.PROMOTION: _entry("un nombre ou un texte a changé de type : lu dans un seul sens", "a number or text changed its type: read one way only", *_NEW_VERSION),
    Rule.SIZE_CHANGED: _entry("un fixed a changé de taille", "a fixed changed its size", *_NEW_VERSION),
    Rule.BRANCHES_CHANGED: _entry("une union a changé", "a union changed", *_NEW_VERSION),
    Rule.SYMBOLS_CHANGED: _entry("une énumération sans default a changé de symboles", "an enum without default changed its symbols", *_NEW_VERSION),
    Rule.FIELD_ADDED: _entry("champ ajouté sans default : la version d'avant ne se lirait plus", "a field added without default: the former version could not be read", "lui donner un default", "give it a default"),
    Rule.FIELD_REMOVED: _entry("champ ôté, qui n'avait pas de default : la version d'avant ne lirait plus", "a field removed that had no default: the former version could not read", "le garder", "keep it"),
    Rule.DEFAULT_CHANGED: _entry("un default a changé : le même message dirait autre chose à deux lecteurs", "a default changed: one message would say two things to two readers", "rétablir le default", "put the default back"),
    Rule.SCOPE_CHANGED: _entry("un champ s'ouvre par un autre périmètre : des accords donnés le montreraient, ou le cacheraient", "a field is opened by another scope: agreements already given would show it, or hide it", "rétablir le périmètre", "put the scope back"),
    Rule.NOT_REGISTERED: _entry("schéma non inscrit", "schema not registered", "accord schemas register", "accord schemas register"),
    Rule.REGISTERED_CHANGED: _entry("schéma inscrit, et modifié depuis", "schema registered, and changed since", "rétablir le fichier ; un changement est une version de plus", "put the file back; a change is a new version"),
    Rule.REGISTERED_MISSING: _entry("schéma inscrit, et disparu", "schema registered, and gone", "rétablir le fichier : ni fichier ni numéro ne se retire", "put the file back: no file and no id is removed"),
    Rule.REGISTRY_UNREADABLE: _entry("registre illisible, ou qui donne deux fois un numéro", "a registry that cannot be read, or gives one id twice", "le rétablir depuis l'historique", "put it back from the history"),
    Rule.REGISTRY_UNAVAILABLE: _entry("le registre distant ne répond pas comme l'API de Confluent", "the remote registry does not answer as Confluent's API", "vérifier l'adresse et le réseau, puis recommencer", "check the address and the network, then try again"),
    Rule.REGISTRY_LEVEL: _entry("le registre distant n'exige pas FULL_TRANSITIVE", "the remote registry does not demand FULL_TRANSITIVE", "accord schemas register --registry, ou le régler", "accord schemas register --registry, or set it"),
    Rule.REGISTRY_OTHER: _entry("le registre distant a un autre schéma sous ce nom et cette version", "the remote registry has another schema under this name and version", *_ASK_OPERATOR),
    Rule.REGISTRY_ID: _entry("le registre distant donne un autre numéro que celui de nos messages", "the remote registry gives another id than our messages carry", "inscrire d'abord, dans un registre vide : il donne alors nos numéros", "register first, in an empty registry: it then gives our ids"),
    Rule.REGISTRY_REFUSES: _entry("le registre distant refuse ce schéma", "the remote registry refuses this schema", "comparer les versions : accord schemas diff", "compare the versions: accord schemas diff"),
}  # fmt: skip
