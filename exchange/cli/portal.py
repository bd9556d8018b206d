"""`accord portal`: serve the HTTP API and the pages, and say which programs may call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine

from consent.core.agreement import reference_of
from exchange.cli import show
from exchange.cli.options import Data, Json, Kafka, Name
from exchange.cli.roles import broker_of
from exchange.clock import SystemClock
from exchange.core.errors import Code
from exchange.core.referentials import is_siren
from exchange.core.rendering import rfc3339
from exchange.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="L'API HTTP et les pages. / The HTTP API and the pages."
)
client = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Les programmes qui peuvent appeler l'API. / Programs that may call the API.",
)
app.add_typer(client, name="client")

ClientName = Annotated[str, typer.Argument(help="Nom du programme. / The program's name.")]
_FILE = {"exists": True, "dir_okay": False, "readable": True}


@app.command("run")
def run(
    data: Data = None,
    kafka: Kafka = "",
    port: Annotated[int, typer.Option("--port", help="0: un port libre / a free port", min=0, max=65535)] = 0,
    as_json: Json = False,
    name: Name = "portal",
) -> None:
    """Servir l'API HTTP et les pages. / Serve the HTTP API and the pages."""
    from portal.process import run_portal  # half a second to import

    settings = Settings()
    places = settings.places(data)
    with show.explained(as_json=as_json):
        broker = broker_of(kafka, settings, places)

    announce = show.serving(places, name, as_json, "Portail", "Portal")
    show.run(run_portal(places, settings, broker, port, announce), as_json=as_json)


@app.command("reference")
def reference(
    issuer: Annotated[str, typer.Argument(help="Fournisseur d'identité (issuer). / Identity provider.")],
    subject: Annotated[
        str, typer.Argument(help="Identifiant qu'il donne à l'agent (sub). / Its subject for the agent.")
    ],
    as_json: Json = False,
) -> None:
    """Par quelle référence un agent ou un délégué est connu. / By what reference an agent or officer is known."""
    found = reference_of(issuer, subject)
    show.line(reference=found) if as_json else show.console.print(found)


@client.command("add")
def add(
    name: ClientName,
    operator: Annotated[
        str,
        typer.Option(
            "--operator", help="SIREN de l'opérateur pour qui il appelle. / SIREN of the operator it calls for."
        ),
    ],
    key_file: Annotated[Path, typer.Option("--key-file", help="Clé publique (JWK). / Public key (JWK).", **_FILE)],
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            help="Certificat (PEM) avec lequel seul il peut appeler. / Certificate (PEM) it must call with.",
            **_FILE,
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Enregistrer un programme et sa clé publique ; la privée reste chez lui. / Register a program and its public key; the private one
    stays with it."""
    from portal.api import clients

    if not is_siren(operator):
        raise typer.BadParameter(show.tr("pas un SIREN", "no SIREN"), param_hint="--operator")
    if not (0 < len(name) <= 64 and name.isascii() and name.isprintable() and " " not in name):
        raise typer.BadParameter(
            show.tr("64 caractères ASCII au plus, sans espace", "64 ASCII characters at most, no space")
        )
    try:
        jwk = clients.public_key(key_file.read_text("utf-8"))
        bound = "" if certificate is None else _thumbprint(certificate)
    except (ValueError, OSError) as error:
        show.fail(Code.BAD_KEY_FILE, type(error).__name__, show.USAGE, as_json=as_json)
    with _store(data) as store:
        clients.add(store, clients.client_of(name, operator, jwk, bound, SystemClock().now_ms()))
    show.line(client=name, operator=operator) if as_json else show.console.print(name)


@client.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """Les programmes enregistrés. / The programs that are registered."""
    from portal.api import clients

    with _store(data) as store:
        for one in clients.every(store):
            facts = {
                "client": one.id,
                "operator": one.operator,
                "since": rfc3339(one.at_ms),
                "certificate": one.thumbprint or None,
            }
            show.line(**facts) if as_json else show.console.print(
                f"{one.id}  {one.operator}  {rfc3339(one.at_ms)}", markup=False
            )


@client.command("remove")
def remove(name: ClientName, data: Data = None, as_json: Json = False) -> None:
    """Ne plus laisser appeler un programme : ses jetons ne valent plus rien. / Let a program call no more: its tokens are void."""
    from portal.api import clients

    with _store(data) as store:
        if not clients.remove(store, name):
            show.fail(Code.CLIENT_INVALID, name, show.REFUSED, as_json=as_json)
    show.line(removed=name) if as_json else show.console.print(name)


def _thumbprint(path: Path) -> str:
    """SHA-256 of the certificate in DER (RFC 8705 §3.1)."""
    return sha256(x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)).hexdigest()


@contextmanager
def _store(data: Path | None) -> Iterator[Engine]:
    from portal.store import open_store

    store = open_store(Settings().places(data).portal)
    try:
        yield store
    finally:
        store.dispose()
