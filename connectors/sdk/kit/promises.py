"""What every connector promises, in sentences; `connectors.sdk.kit.checks` holds it to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence that must hold, in French and English."""

    name: str
    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a promise for a data set; `seen` says what was seen instead, or why it was not examined."""

    data_set: str
    promise: Promise
    verdict: Verdict
    seen: str = ""

    def facts(self, language: str) -> dict[str, str]:
        sentence = self.promise.en if language == "en" else self.promise.fr
        return {
            "data_set": self.data_set,
            "promise": self.promise.name,
            "verdict": self.verdict,
            "sentence": sentence,
            "seen": self.seen,
        }


PROMISES = {p.name: p for p in (
    Promise("answered", "Ce que l'État trouve arrive à la collectivité, par un seul appel.",
        "What the State finds reaches the collectivity, by one call."),
    Promise("minimised", "Seuls les périmètres demandés sortent du connecteur.", "Only the scopes asked leave the connector."),
    Promise("rule", "Une règle reçoit sa réponse, et rien de la donnée ne sort avec elle.",
        "A rule gets its answer, and nothing of the data leaves with it."),
    Promise("own_person", "Chaque appel désigne la personne de l'accord, et elle seule.", "Each call designates the agreement's person and nobody else."),
    Promise("not_found", "« Introuvable » est scellé et rembourré comme une réponse, avec le code de l'État.",
        "Not found is sealed and padded like an answer, with the State's code."),
    Promise("refusal", "Un refus de l'État est scellé et rembourré comme une réponse, avec le code de l'État.",
        "A refusal of the State is sealed and padded like an answer, with the State's code."),
    Promise("duplicate", "La même tâche, reçue plusieurs fois, fait un seul appel et une seule issue.",
        "The same task, met several times, makes one call and one outcome."),
    Promise("timeout", "Un État muet finit en échec dans le délai, en trois appels au plus ; la demande suivante est servie.",
        "A silent State ends in a failure in time, after three calls at most; the next request is served."),
    Promise("withdrawn", "Un retrait pendant l'appel : rien n'est remis, et l'État n'est plus appelé.",
        "A withdrawal during the call: nothing is handed over, and the State is not called again."),
    Promise("bad_payload", "Des octets illisibles ou hors contrat sont un échec technique, jamais une réponse.",
        "Unreadable or undocumented bytes are a technical failure, never an answer."),
    Promise("conflict_409", "Un appel identique en cours (409) est refait.", "An identical call in progress (409) is made again."),
    Promise("too_many_429", "Un 429 est refait, jamais avant le délai demandé.", "A 429 is made again, never before the time asked."),
    Promise("gateway_502", "Une panne du fournisseur (502) finit en échec avec le code de l'État, en trois appels au plus.",
        "A provider's failure (502) ends in a failure with the State's code, after three calls at most."),
    Promise("gateway_504", "Un délai dépassé chez l'État (504), puis une réponse : la demande est servie.",
        "A time-out at the State (504), then an answer: the request is served."),
    Promise("wrong_person", "Une autre personne sous un accord : refusé, sans appel à l'État.",
        "Somebody else under an agreement: refused, without a State call."),
    Promise("somebody_else", "Une réponse au sujet d'une autre personne n'est pas transmise.", "An answer about somebody else is not passed on."),
    Promise("extra_parameter", "Un paramètre que le jeu de données n'a pas est refusé, sans appel à l'État.",
        "A parameter the data set does not have is refused, without a State call."),
    Promise("deadline", "Après l'échéance, l'État n'est plus appelé ; la demande finit échue.",
        "After the deadline the State is not called; the request ends expired."),
    Promise("restart", "Un nouvel essai demandé pour plus tard survit à un redémarrage, et n'est pas fait avant.",
        "A retry asked for later survives a restart, and is not made before its time."),
    Promise("unknown_data_set", "Un jeu de données inconnu est refusé, sans appel à l'État.", "An unknown data set is refused, without a State call."),
)}  # fmt: skip
"""In the order they are examined."""
