"""The closed catalogue of errors and refusals, used by every door: code, cause, what to do next.

A code is stable and says nothing personal. `origin` tells who has to act: the caller, the citizen, the provider or the bus.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Origin = Literal["caller", "citizen", "provider", "bus"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One error: texts in French then English; `retry` says whether the same request may succeed later."""

    origin: Origin
    retry: bool
    cause_fr: str
    cause_en: str
    todo_fr: str
    todo_en: str

    def cause(self, language: str) -> str:
        return self.cause_fr if language == "fr" else self.cause_en

    def todo(self, language: str) -> str:
        return self.todo_fr if language == "fr" else self.todo_en


class Code(StrEnum):
    """Every reason the bus may give."""

    # The request itself
    DATA_SET_UNKNOWN = "data_set_unknown"
    PARAMETER_UNKNOWN = "parameter_unknown"
    TTL_OUT_OF_BOUNDS = "ttl_out_of_bounds"
    DEADLINE_PASSED = "deadline_passed"
    CONFLICT = "conflict"
    CANCELLED = "cancelled"
    NOTHING_WAITS = "nothing_waits"
    PREVIEW_PENDING = "preview_pending"
    PREVIEW_REJECTED = "preview_rejected"
    # Who may ask
    DELEGATION_ABSENT = "delegation_absent"
    HABILITATION_ABSENT = "habilitation_absent"
    # The authorisation
    AUTHORISATION_UNKNOWN = "authorisation_unknown"
    NOT_YET_GIVEN = "not_yet_given"
    NOT_YET_VALID = "not_yet_valid"
    CONSENT_REFUSED = "consent_refused"
    OPPOSED = "opposed"
    WITHDRAWN = "withdrawn"
    ERASED = "erased"
    EXPIRED = "authorisation_expired"
    USED_UP = "used_up"
    INVALIDATED = "invalidated"
    ENDED = "ended"
    CERTIFICATE_OUTDATED = "certificate_outdated"
    RECIPIENT_MISMATCH = "recipient_mismatch"
    DATA_SET_MISMATCH = "data_set_mismatch"
    PURPOSE_MISMATCH = "purpose_mismatch"
    WATCH_EXCEEDED = "watch_exceeded"
    SCOPE_EXCEEDED = "scope_exceeded"
    RULE_MISMATCH = "rule_mismatch"
    RULE_INVALID = "rule_invalid"
    # Collecting an agreement
    NOTICE_MISSING = "notice_missing"
    ASSURANCE_TOO_LOW = "assurance_too_low"
    FRANCECONNECT_INVALID = "franceconnect_invalid"
    FRANCECONNECT_EXPIRED = "franceconnect_expired"
    FRANCECONNECT_USED = "franceconnect_used"
    FRANCECONNECT_UNAVAILABLE = "franceconnect_unavailable"
    LOGIN_REFUSED = "login_refused"
    LOGIN_INVALID = "login_invalid"
    LOGIN_EXPIRED = "login_expired"
    NOT_ADMITTED = "not_admitted"
    IDENTITY_PROVIDER_UNAVAILABLE = "identity_provider_unavailable"
    EVIDENCE_MISSING = "evidence_missing"
    EVIDENCE_INVALID = "evidence_invalid"
    REPRESENTATION_INVALID = "representation_invalid"
    AGENT_QUOTA = "agent_quota"
    # At the connector
    CERTIFICATE_INVALID = "certificate_invalid"
    IDENTITY_UNOPENABLE = "identity_unopenable"
    SUBJECT_MISMATCH = "subject_mismatch"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_ERROR = "provider_error"
    WRONG_PERSON = "wrong_person"
    # Bytes the bus cannot use (dead letters)
    BAD_FRAME = "bad_frame"
    BAD_AVRO = "bad_avro"
    BAD_KEY = "bad_key"
    BAD_SEAL = "bad_seal"
    NO_ATTEMPT = "no_attempt"
    # The data protection officer
    OFFICER_UNKNOWN = "officer_unknown"
    REASON_MISSING = "reason_missing"
    OUTSIDE_PERIMETER = "outside_perimeter"
    NOTHING_FOUND = "nothing_found"
    # The bus, and the commands
    UNAVAILABLE = "unavailable"
    RECOVERING = "recovering"
    LOG_UNUSABLE = "log_unusable"
    ROLE_FAILED = "role_failed"
    DATA_IN_USE = "data_in_use"
    NO_LEDGER = "no_ledger"
    NO_TOKEN = "no_token"  # noqa: S105  # the name of an error
    BAD_CASES = "bad_cases"
    BAD_IDENTITY = "bad_identity"
    BAD_KEY_FILE = "bad_key_file"
    BAD_CHECKPOINT = "bad_checkpoint"
    BAD_STORE = "bad_store"
    BAD_REFERENTIAL = "bad_referential"
    BAD_WEBHOOK = "bad_webhook"
    DATAPASS_UNAVAILABLE = "datapass_unavailable"
    BAD_RECEIPT = "bad_receipt"
    RECEIPT_PENDING = "receipt_pending"
    PAGE_NOT_COMPARED = "page_not_compared"
    # Pages and the HTTP API
    BAD_FORM = "bad_form"
    RETRY_IMPOSSIBLE = "retry_impossible"
    BAD_JSON = "bad_json"
    BAD_FIELD = "bad_field"
    BAD_CURSOR = "bad_cursor"
    CURSOR_LAPSED = "cursor_lapsed"
    PRECONDITION_FAILED = "precondition_failed"
    HOST_UNKNOWN = "host_unknown"
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "media_type"
    NOT_ACCEPTABLE = "not_acceptable"
    TOKEN_INVALID = "token_invalid"  # noqa: S105  # the name of an error
    CLIENT_INVALID = "client_invalid"
    TOO_MANY = "too_many"
    NOT_THERE = "not_there"
    METHOD_UNKNOWN = "method_unknown"
    REQUEST_UNKNOWN = "request_unknown"
    KEY_REUSED = "key_reused"
    IN_FLIGHT = "in_flight"
    ADDRESS_REFUSED = "address_refused"
    INTERNAL = "internal"


def _entry(origin: Origin, retry: bool, *texts: str) -> Entry:
    cause_fr, cause_en, todo_fr, todo_en = texts
    return Entry(origin, retry, cause_fr, cause_en, todo_fr, todo_en)


_ASK_AGAIN_FR = "demander un nouvel accord au citoyen"
_ASK_AGAIN_EN = "ask the citizen for a new agreement"
_REPORT_FR = "prévenir l'exploitant du bus, qui a la position du message"
_REPORT_EN = "tell the bus operator, who has the message's position"

CATALOGUE: dict[Code, Entry] = {
    Code.DATA_SET_UNKNOWN: _entry("caller", False, "jeu de données inconnu du catalogue", "data set unknown to the catalogue",
        "corriger le nom et la version du jeu de données", "correct the data set's name and version"),
    Code.PARAMETER_UNKNOWN: _entry("caller", False, "paramètre non prévu par le jeu de données", "parameter the data set does not have",
        "retirer le paramètre", "remove the parameter"),
    Code.TTL_OUT_OF_BOUNDS: _entry("caller", False, "durée de validité de la demande hors bornes", "the request's time to live is out of bounds",
        "choisir une durée de 1 s à 48 h", "choose between 1 s and 48 h"),
    Code.DEADLINE_PASSED: _entry("caller", True, "échéance de la demande dépassée", "the request's deadline has passed",
        "refaire la demande, avec une échéance plus longue", "ask again, with a longer deadline"),
    Code.CONFLICT: _entry("caller", False, "ce numéro de demande a déjà servi pour une autre demande", "this request id was used for another request",
        "choisir un nouveau numéro", "choose a new id"),
    Code.CANCELLED: _entry("caller", False, "demande annulée par son opérateur", "request cancelled by its operator", "refaire la demande s'il le faut", "ask again if need be"),
    Code.NOTHING_WAITS: _entry("caller", True, "aucune réponse n'attend sous ce numéro de demande", "no answer waits under this request id",
        "attendre qu'elle soit annoncée ; si elle a été remise ou est échue, refaire la demande",
        "wait until it is announced; where it was handed over or is too late, ask again"),
    Code.PREVIEW_PENDING: _entry("citizen", True, "la personne n'a pas encore dit si cette réponse peut être transmise",
        "the person has not said yet whether this answer may be handed over",
        "attendre, et prévenir la personne : elle répond dans ses accords, au guichet ou par téléphone",
        "wait, and tell the person: they answer among their agreements, at the counter or by phone"),
    Code.PREVIEW_REJECTED: _entry("citizen", False, "la personne a vu ce qui serait transmis et ne le veut pas",
        "the person saw what would be handed over and does not want it",
        "poursuivre sans cette donnée, par une pièce que la personne fournit ; ne pas redemander sans en parler avec elle",
        "go on without this datum, with a document the person provides; do not ask again without talking to them"),
    Code.DELEGATION_ABSENT: _entry("caller", False, "l'opérateur n'a pas de délégation de la collectivité", "the operator has no delegation from the collectivity",
        "faire enregistrer la délégation", "have the delegation recorded"),
    Code.HABILITATION_ABSENT: _entry("caller", False, "la collectivité n'est pas habilitée pour ces données et cette finalité",
        "the collectivity has no habilitation for these data and this purpose", "demander l'habilitation (DataPass)", "apply for the habilitation (DataPass)"),
    Code.AUTHORISATION_UNKNOWN: _entry("citizen", True, "aucun accord sous ce numéro", "no agreement under this id",
        "recueillir l'accord du citoyen, ou corriger le numéro", "collect the citizen's agreement, or correct the id"),
    Code.NOT_YET_GIVEN: _entry("citizen", True, "accord demandé, pas encore donné", "agreement requested, not given yet", "attendre la réponse du citoyen", "wait for the citizen's answer"),
    Code.NOT_YET_VALID: _entry("citizen", True, "accord pas encore en vigueur", "agreement not in force yet", "attendre son début de validité", "wait until it is valid"),
    Code.CONSENT_REFUSED: _entry("citizen", False, "le citoyen a refusé", "the citizen refused", "poursuivre la démarche sans cet échange", "go on without this exchange"),
    Code.OPPOSED: _entry("citizen", False, "le citoyen s'est opposé", "the citizen objected", "poursuivre la démarche sans cet échange", "go on without this exchange"),
    Code.WITHDRAWN: _entry("citizen", False, "accord retiré", "agreement withdrawn", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.ERASED: _entry("citizen", False, "accord effacé", "agreement erased", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.EXPIRED: _entry("citizen", False, "accord expiré", "agreement expired", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.USED_UP: _entry("citizen", False, "nombre d'usages de l'accord atteint", "the agreement's uses are exhausted", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.INVALIDATED: _entry("caller", False, "accord invalidé par une autorité", "agreement invalidated by an authority",
        "vérifier l'habilitation de la collectivité", "check the collectivity's habilitation"),
    Code.ENDED: _entry("caller", False, "accord clos par la collectivité", "agreement ended by the collectivity", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.CERTIFICATE_OUTDATED: _entry("caller", True, "certificat d'autorisation remplacé", "authorisation certificate replaced",
        "relire le certificat courant et refaire la demande", "read the current certificate and ask again"),
    Code.RECIPIENT_MISMATCH: _entry("caller", False, "accord donné à une autre collectivité", "agreement given to another collectivity", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.DATA_SET_MISMATCH: _entry("caller", False, "accord donné pour un autre jeu de données", "agreement given for another data set", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.PURPOSE_MISMATCH: _entry("caller", False, "accord donné pour une autre finalité", "agreement given for another purpose", _ASK_AGAIN_FR, _ASK_AGAIN_EN),
    Code.WATCH_EXCEEDED: _entry("caller", False, "l'accord ne permet pas de suivre les changements, ou pas si souvent",
        "the agreement does not allow watching for changes, or not so often",
        "allonger la période, ou demander un accord qui le permette", "watch less often, or ask for an agreement that allows it"),
    Code.SCOPE_EXCEEDED: _entry("caller", False, "données demandées au-delà de l'accord", "more data asked than agreed",
        "demander moins de données, ou un nouvel accord", "ask for less, or for a new agreement"),
    Code.RULE_MISMATCH: _entry("caller", False, "accord donné pour une autre règle, ou pour les données et non une règle", "agreement given for another rule, or for data and not for a rule",
        "demander ce que dit l'accord, ou un nouvel accord", "ask what the agreement says, or for a new agreement"),
    Code.RULE_INVALID: _entry("caller", False, "règle non signée par ce bus, ou qui ne convient pas à son jeu de données", "rule not signed by this bus, or that does not suit its data set",
        "la vérifier (accord rule check) et la faire signer", "check it (accord rule check) and have it signed"),
    Code.NOTICE_MISSING: _entry("caller", False, "base légale sans texte ou sans notice d'information", "legal basis without its text or information notice",
        "citer le texte et la notice montrée, avec sa version", "name the text and the notice shown, with its version"),
    Code.ASSURANCE_TOO_LOW: _entry("citizen", True, "niveau d'identification insuffisant", "level of identification too low",
        "s'identifier au niveau demandé (eIDAS)", "identify at the level asked for (eIDAS)"),
    Code.FRANCECONNECT_INVALID: _entry("caller", False, "jeton ou réponse FranceConnect qui ne prouve rien ici", "a FranceConnect token or answer that proves nothing here",
        "vérifier la clé, les adresses et les services déclarés ; sinon refaire l'identification", "check the key, the addresses and the services declared; else identify again"),
    Code.FRANCECONNECT_EXPIRED: _entry("citizen", True, "jeton FranceConnect expiré (il vit 60 s)", "the FranceConnect token has expired (it lives 60 s)",
        "refaire l'identification, et lire le jeton aussitôt", "identify again, and read the token at once"),
    Code.FRANCECONNECT_USED: _entry("citizen", True, "jeton FranceConnect déjà utilisé", "the FranceConnect token was used already",
        "refaire l'identification", "identify again"),
    Code.FRANCECONNECT_UNAVAILABLE: _entry("provider", True, "pas de réponse de FranceConnect, ou pas celle convenue", "no answer from FranceConnect, or not as documented",
        "refaire l'identification plus tard", "identify again later"),
    Code.LOGIN_REFUSED: _entry("citizen", True, "identification abandonnée ou refusée", "the login was given up or refused",
        "recommencer, ou choisir une autre voie : le code du reçu, le guichet", "start again, or go another way: the receipt's code, the counter"),
    Code.LOGIN_INVALID: _entry("citizen", True, "réponse d'identification qui n'est pas celle attendue", "a login answer that is not the one expected",
        "recommencer l'identification depuis le début, dans la même fenêtre", "log in again from the start, in the same window"),
    Code.LOGIN_EXPIRED: _entry("citizen", True, "identification trop ancienne", "the login took too long",
        "recommencer l'identification", "log in again"),
    Code.NOT_ADMITTED: _entry("caller", False, "ce compte n'ouvre pas cet espace", "this account does not open this space",
        "faire inscrire le compte par l'exploitant du bus", "have the bus operator enter the account"),
    Code.IDENTITY_PROVIDER_UNAVAILABLE: _entry("provider", True, "le fournisseur d'identité ne répond pas comme convenu", "the identity provider does not answer as documented",
        "recommencer plus tard, ou choisir une autre voie : le code du reçu, le guichet", "try later, or go another way: the receipt's code, the counter"),
    Code.EVIDENCE_MISSING: _entry("caller", False, "recueil de l'accord sans preuve", "agreement collected without evidence",
        "joindre la preuve prévue pour ce canal", "attach the evidence this channel needs"),
    Code.EVIDENCE_INVALID: _entry("caller", False, "la preuve ne couvre pas cet accord", "the evidence does not cover this agreement",
        "refaire l'identification pour ces termes", "identify again for these terms"),
    Code.REPRESENTATION_INVALID: _entry("caller", False, "cette personne ne peut pas représenter l'autre", "this person cannot speak for the other",
        "joindre le mandat, ou recueillir l'accord de la personne elle-même", "attach the mandate, or collect the person's own agreement"),
    Code.AGENT_QUOTA: _entry("caller", True, "nombre d'accords recueillis par cet agent atteint pour aujourd'hui", "this agent has recorded as many agreements as allowed today",
        "reprendre demain, ou faire contrôler ces recueils", "go on tomorrow, or have these records checked"),
    Code.CERTIFICATE_INVALID: _entry("bus", False, "certificat d'autorisation invalide", "invalid authorisation certificate", _REPORT_FR, _REPORT_EN),
    Code.IDENTITY_UNOPENABLE: _entry("caller", False, "identité scellée pour un autre fournisseur ou une autre demande", "identity sealed for another provider or request",
        "relire la clé du fournisseur dans l'annuaire et refaire la demande", "read the provider's key in the directory and ask again"),
    Code.SUBJECT_MISMATCH: _entry("caller", False, "la personne désignée n'est pas celle de l'accord", "the person designated is not the agreement's",
        "utiliser l'identité remise avec l'accord", "use the identity handed over with the agreement"),
    Code.ATTEMPTS_EXHAUSTED: _entry("provider", True, "nombre d'appels à l'API de l'État atteint", "the State API was called as often as allowed",
        "refaire la demande plus tard", "ask again later"),
    Code.PROVIDER_UNAVAILABLE: _entry("provider", True, "l'API de l'État ne répond pas", "the State API does not answer", "refaire la demande plus tard", "ask again later"),
    Code.PROVIDER_ERROR: _entry("provider", True, "l'API de l'État a répondu par une erreur technique", "the State API answered with a technical error",
        "refaire la demande plus tard, ou prévenir le fournisseur", "ask again later, or tell the provider"),
    Code.WRONG_PERSON: _entry("provider", False, "l'API de l'État a répondu au sujet d'une autre personne", "the State API answered about somebody else",
        "prévenir le fournisseur ; rien n'a été transmis", "tell the provider; nothing was passed on"),
    Code.BAD_FRAME: _entry("caller", False, "message sans cadre reconnu", "message without a known frame", "publier avec le SDK ou le schéma enregistré", "publish with the SDK or the registered schema"),
    Code.BAD_AVRO: _entry("caller", False, "octets non conformes au schéma", "bytes that do not follow the schema", "publier avec le SDK ou le schéma enregistré", "publish with the SDK or the registered schema"),
    Code.BAD_KEY: _entry("caller", False, "la clé du message n'est pas l'accord qu'il invoque", "the message key is not the agreement it relies upon", "publier avec le SDK", "publish with the SDK"),
    Code.BAD_SEAL: _entry("provider", False, "réponse scellée pour une autre demande, ou altérée", "answer sealed for another request, or altered", _REPORT_FR, _REPORT_EN),
    Code.NO_ATTEMPT: _entry("provider", False, "réponse à une demande qui n'a pas été tentée", "answer to a request never attempted", _REPORT_FR, _REPORT_EN),
    Code.OFFICER_UNKNOWN: _entry("caller", False, "délégué à la protection des données non désigné, ou dont la désignation a pris fin",
        "data protection officer not appointed, or no longer", "le faire désigner sous sa référence (accord dpo appoint)", "have the officer appointed under their reference (accord dpo appoint)"),
    Code.REASON_MISSING: _entry("caller", False, "consultation sans auteur ou sans motif", "a query without author or reason",
        "donner qui consulte et pourquoi, en une ligne", "say who asks and why, in one line"),
    Code.OUTSIDE_PERIMETER: _entry("caller", False, "hors du périmètre de ce délégué", "outside this officer's perimeter",
        "s'en tenir à ses collectivités, ou faire étendre la désignation", "keep to one's collectivities, or have the appointment widened"),
    Code.NOTHING_FOUND: _entry("caller", False, "rien de tel dans ce périmètre", "nothing such within this perimeter",
        "vérifier le numéro ou la référence", "check the id or the reference"),
    Code.UNAVAILABLE: _entry("bus", True, "le bus ne répond pas", "the bus does not answer", "refaire la demande plus tard (accord doctor)", "ask again later (accord doctor)"),
    Code.RECOVERING: _entry("bus", True, "le registre, plus ancien que son journal publié, doit le relire", "the ledger is older than the log it published and must read it back",
        "redonner le journal public au registre (accord ledger recover), puis refaire la demande", "give the ledger its public log (accord ledger recover), then ask again"),
    Code.LOG_UNUSABLE: _entry("bus", False, "cette copie du journal public ne mène pas de ce registre à une tête signée", "this copy of the public log does not lead from this ledger to a signed head",
        "en donner une copie entière, ou restaurer une autre sauvegarde", "give a whole copy of it, or restore another backup"),
    Code.ROLE_FAILED: _entry("bus", True, "un processus du bus s'est arrêté", "a process of the bus ended", "lire son journal", "read its log"),
    Code.DATA_IN_USE: _entry("bus", True, "déjà en marche dans ce dossier", "already running in this directory",
        "s'en servir, l'arrêter, ou choisir --data", "use it, stop it, or choose --data"),
    Code.NO_LEDGER: _entry("caller", False, "pas de registre ici", "no ledger here", "choisir --data, ou démarrer le bus (accord dev)", "choose --data, or start the bus (accord dev)"),
    Code.NO_TOKEN: _entry("caller", False, "jeton de l'API de l'État illisible", "the State API's token cannot be read", "donner son fichier par --token-file", "give its file with --token-file"),
    Code.BAD_CASES: _entry("caller", False, "cas de bac à sable illisible", "a sandbox case cannot be read", "corriger ce fichier", "mend this file"),
    Code.BAD_IDENTITY: _entry("caller", False, "identité inutilisable", "unusable identity", "corriger ce champ", "correct this field"),
    Code.BAD_KEY_FILE: _entry("bus", False, "fichier de clé inutilisable", "unusable key file", "en corriger les droits ou le contenu", "mend its mode or content"),
    Code.BAD_CHECKPOINT: _entry("bus", False, "la tête du journal n'est pas signée par la clé connue", "the log's head is not signed by the known key",
        "prévenir l'exploitant du bus et les témoins", "tell the bus operator and the witnesses"),
    Code.BAD_STORE: _entry("bus", False, "base du registre inutilisable", "the ledger's store will not do",
        "corriger ce réglage du serveur ou choisir la bonne base (accord doctor)", "correct this setting of the server or choose the right store (accord doctor)"),
    Code.BAD_REFERENTIAL: _entry("caller", False, "table des communes et des pays inutilisable", "unusable table of communes and countries",
        "la refaire depuis les fichiers de l'INSEE (accord referentials build)", "make it again from INSEE's files (accord referentials build)"),
    Code.BAD_WEBHOOK: _entry("caller", False, "appel qui n'est pas de DataPass, ou incomplet", "a call that is not DataPass's, or is incomplete",
        "vérifier le secret, l'environnement et les événements de ce webhook", "check this webhook's secret, environment and events"),
    Code.DATAPASS_UNAVAILABLE: _entry("provider", True, "l'API DataPass ne répond pas comme convenu", "the DataPass API does not answer as documented",
        "vérifier l'adresse et les identifiants, puis recommencer", "check the address and the credentials, then try again"),
    Code.BAD_RECEIPT: _entry("caller", False, "ce fichier n'est pas un reçu de ce registre, ou il a été modifié", "this file is no receipt of this log, or it was altered",
        "demander à nouveau le reçu, ou donner la clé du bon registre par --vkey", "ask for the receipt again, or give the right log's key with --vkey"),
    Code.RECEIPT_PENDING: _entry("bus", True, "reçu en attente : trop peu de témoins l'ont vu", "receipt pending: too few witnesses have seen it",
        "demander à nouveau le reçu un peu plus tard", "ask for the receipt again a little later"),
    Code.PAGE_NOT_COMPARED: _entry("caller", False, "page d'une autre édition : ses preuves jointes sont bonnes, ce qui est imprimé n'a pas pu être comparé",
        "page of another edition: the proofs it carries hold, what is printed could not be compared", "se fier au fichier receipt.jsonld joint à la page", "rely on the file receipt.jsonld attached to the page"),
    Code.BAD_FORM: _entry("caller", True, "formulaire d'une autre page, périmé ou illisible", "a form of another page, out of date or unreadable",
        "revenir à la page, la recharger et recommencer", "go back to the page, reload it and try again"),
    Code.RETRY_IMPOSSIBLE: _entry("caller", False, "ce message n'est pas un rebut, a déjà été renvoyé ou n'est plus gardé", "this message is no dead letter, was sent again already, or is no longer kept",
        "voir ce qu'il en est dans la liste des rebuts", "look at it in the list of dead letters"),
    Code.BAD_JSON: _entry("caller", False, "corps qui n'est pas du JSON strict (UTF-8, chaque clé une fois, nombres finis)",
        "a body that is no strict JSON (UTF-8, each key once, finite numbers)", "corriger le corps de la requête HTTP", "mend the body of the HTTP request"),
    Code.BAD_FIELD: _entry("caller", False, "champ ou paramètre absent, inconnu ou mal formé", "a field or parameter that is absent, unknown or ill-formed",
        "corriger le champ nommé, d'après openapi.json", "correct the field named, as openapi.json says"),
    Code.BAD_CURSOR: _entry("caller", False, "curseur d'un autre opérateur, altéré, ou inconnu", "a cursor of another operator, altered, or unknown",
        "reprendre avec un curseur reçu de cette API, ou depuis le début", "go on from a cursor this API gave, or from the beginning"),
    Code.CURSOR_LAPSED: _entry("caller", False, "curseur trop ancien : ce qui le suit n'est plus gardé (sept jours)", "cursor too old: what follows it is no longer kept (seven days)",
        "repartir du plus ancien gardé, et relire les demandes en cours une à une", "go on from the oldest kept, and read open requests one by one"),
    Code.PRECONDITION_FAILED: _entry("caller", False, "condition If-Match qui ne tient pas : rien ici n'a d'étiquette d'entité", "an If-Match condition that does not hold: nothing here has an entity tag",
        "refaire la requête sans If-Match ; rien n'a été fait", "make the request again without If-Match; nothing was done"),
    Code.HOST_UNKNOWN: _entry("caller", False, "ce nom n'est pas celui de ce portail", "this name is not this portal's",
        "ouvrir le portail à l'adresse donnée par son exploitant", "open the portal at the address its operator gave"),
    Code.TOO_LARGE: _entry("caller", False, "envoi trop grand (1 Mio au plus)", "too large (1 MiB at most)", "envoyer moins à la fois, ou un fichier plus petit", "send less at once, or a smaller file"),
    Code.MEDIA_TYPE: _entry("caller", False, "type ou codage de corps non prévu", "a media type or encoding that is not foreseen",
        "envoyer application/json ou un formulaire, sans compression", "send application/json or a form, without compression"),
    Code.NOT_ACCEPTABLE: _entry("caller", False, "aucune forme de cette ressource ne convient à Accept", "no form of this resource suits Accept",
        "demander l'une des formes d'openapi.json", "ask for one of the forms of openapi.json"),
    Code.TOKEN_INVALID: _entry("caller", False, "jeton d'accès absent, expiré ou inconnu", "access token absent, expired or unknown",
        "demander un jeton à /v1/token", "ask /v1/token for a token"),
    Code.CLIENT_INVALID: _entry("caller", False, "client inconnu, ou assertion qui ne le prouve pas", "unknown client, or an assertion that does not prove it",
        "vérifier le client, sa clé et l'horloge (accord portal client list)", "check the client, its key and the clock (accord portal client list)"),
    Code.TOO_MANY: _entry("caller", True, "trop de requêtes", "too many requests", "attendre la durée de Retry-After", "wait as long as Retry-After says"),
    Code.NOT_THERE: _entry("caller", False, "rien à cette adresse", "nothing at this address", "vérifier l'adresse dans openapi.json", "check the address in openapi.json"),
    Code.METHOD_UNKNOWN: _entry("caller", False, "méthode HTTP non prévue ici", "an HTTP method that is not foreseen here", "employer GET ou POST, comme le dit openapi.json", "use GET or POST, as openapi.json says"),
    Code.REQUEST_UNKNOWN: _entry("caller", False, "aucune demande sous ce numéro depuis sept jours", "no request under this id within seven days",
        "vérifier le numéro rendu par l'envoi", "check the id that was given back"),
    Code.KEY_REUSED: _entry("caller", False, "cette clé d'idempotence a servi pour un autre corps", "this idempotency key was used for another body",
        "choisir une nouvelle clé", "choose a new key"),
    Code.IN_FLIGHT: _entry("caller", True, "la même requête est en cours", "the same request is in progress", "la refaire dans un instant", "make it again in a moment"),
    Code.ADDRESS_REFUSED: _entry("caller", False, "adresse où rien ne sera envoyé : ni publique, ni permise, ou sans https", "an address nothing will be sent to: neither public nor allowed, or without https",
        "donner une adresse https publique, ou la faire permettre par l'exploitant", "give a public https address, or have it allowed by the operator of the bus"),
    Code.INTERNAL: _entry("bus", True, "défaut de l'API", "a fault of the API", "prévenir l'exploitant du bus", "tell the bus operator"),
}  # fmt: skip
