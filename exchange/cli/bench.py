"""`accord bench`: how fast, beside its limit, in the same run."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import exchange as exchanges
from bench import gate as gates
from bench import ledger as ledgers
from bench import release as releases
from bench import scale as scales
from bench import sdk as sdks
from bench import start as starts
from bench import withdrawal as withdrawals
from bench.ledger_load import CHUNK, LEAVES_PER_AGREEMENT
from exchange.cli import bench_all, show
from exchange.cli.bench_shown import Out, Repeat, measured
from exchange.cli.options import Json
from exchange.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Mesures côte à côte. / Side-by-side measures.")


@app.callback()
def bench() -> None:
    """Mesures côte à côte. / Side-by-side measures."""


@app.command("gate")
def gate(
    requests: Annotated[int, typer.Option("--requests", help="Demandes. / Requests.", min=1)] = gates.Size.requests,
    authorisations: Annotated[
        int, typer.Option("--authorisations", help="Accords au registre. / Agreements in the ledger.", min=2)
    ] = gates.Size.authorisations,
    faust: Annotated[
        int, typer.Option("--faust", help="Demandes pour Faust, une à une. / Requests for Faust, one by one.", min=1)
    ] = gates.Size.faust,
    peers: Annotated[
        bool, typer.Option("--peers/--no-peers", help="Aussi Kafka Streams et Faust. / Kafka Streams and Faust too.")
    ] = True,
    repeat: Repeat = gates.Size.repeat,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Le portier face à l'écho brut, à Kafka Streams et à Faust. / The gate beside the raw echo, Kafka Streams and Faust."""
    size = gates.Size(requests, authorisations, repeat, faust, peers)
    measured(lambda say, progress: gates.run(size, say, progress), out, as_json)


@app.command("ledger")
def ledger(
    sizes: Annotated[
        str, typer.Option("--sizes", help="Tailles du journal, en feuilles. / Sizes of the log, leaves.")
    ] = ",".join(map(str, ledgers.SMALL)),
    full: Annotated[bool, typer.Option("--full", help="10 000, 1 et 5 millions. / 10,000, 1 and 5 million.")] = False,
    repeat: Repeat = 3,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Le registre face à sa propre base : feuilles, preuves, requêtes. / The ledger beside its own store."""
    chosen = ledgers.FULL if full else numbers(sizes, "--sizes", CHUNK * LEAVES_PER_AGREEMENT)
    measured(lambda say, _: ledgers.run(chosen, repeat, say, Settings().store), out, as_json)


@app.command("release")
def release(
    answers: Annotated[int, typer.Option("--answers", help="Réponses. / Answers.", min=1)] = 10_000,
    agreements: Annotated[
        int, typer.Option("--authorisations", help="Accords différents. / Different agreements.", min=1)
    ] = 5_000,
    repeat: Repeat = 5,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Réponses remises, face à HPKE nu. / Answers released beside bare HPKE."""
    measured(lambda say, _: releases.run(answers, agreements, repeat, say, Settings().store), out, as_json)


@app.command("start")
def start(
    authorisations: Annotated[
        int, typer.Option("--authorisations", help="Accords sous les agents. / Agreements under the worker.", min=1_000)
    ] = starts.Size.authorisations,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Ne rien télécharger : pas de démarrage à froid. / Download nothing: no cold start."
        ),
    ] = False,
    repeat: Repeat = starts.Size.repeat,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Premier démarrage, démarrage suivant, redémarrage des agents. / First start, next start, the worker again."""
    size = starts.Size(authorisations, repeat, quick)
    measured(lambda say, progress: starts.run(size, say, progress), out, as_json)


@app.command("scale")
def scale(
    authorisations: Annotated[
        str, typer.Option("--authorisations", help="Nombres d'accords. / Numbers of agreements.")
    ] = ",".join(map(str, scales.SMALL)),
    full: Annotated[bool, typer.Option("--full", help="De 10 000 à 10 millions. / From 10,000 to 10 million.")] = False,
    requests: Annotated[int, typer.Option("--requests", help="Demandes. / Requests.", min=1)] = scales.Size.requests,
    answers: Annotated[int, typer.Option("--answers", help="Réponses. / Answers.", min=1)] = scales.Size.answers,
    repeat: Repeat = scales.Size.repeat,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Portier et remises, de plus en plus d'accords. / Gate and releases against more and more agreements."""
    chosen = scales.FULL if full else numbers(authorisations, "--authorisations", 2)
    size = scales.Size(chosen, requests, answers, repeat)
    measured(lambda say, progress: scales.run(size, say, progress), out, as_json)


app.command("all")(bench_all.everything)
app.command("draw")(bench_all.draw)


@app.command("exchange")
def exchange(
    per_s: Annotated[
        int, typer.Option("--per-s", help="Débit fixe, échanges par seconde. / Fixed rate, exchanges a second.", min=1)
    ] = exchanges.Size.per_s,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Durée d'une mesure. / How long a measure lasts.", min=1)
    ] = exchanges.Size.seconds,
    last_per_s: Annotated[
        float,
        typer.Option(
            "--last-per-s",
            help="Chercher le débit maximal jusque-là ; 0 : non. / Seek the highest rate up to this; 0: do not.",
            min=0,
        ),
    ] = exchanges.Size.last_per_s,
    repeat: Repeat = exchanges.Size.repeat,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Échanges complets, face à Kafka nu et à une passerelle HTTP. / Whole exchanges beside raw Kafka and an HTTP gateway."""
    size = exchanges.Size(per_s, seconds, last_per_s, repeat)
    measured(lambda say, progress: exchanges.run(size, say, progress), out, as_json)


@app.command("sdk")
def sdk(
    requests: Annotated[int, typer.Option("--requests", help="Demandes. / Requests.", min=1)] = sdks.Size.requests,
    at_once: Annotated[
        int, typer.Option("--at-once", help="Demandes menées de front. / Requests under way at once.", min=1)
    ] = sdks.Size.at_once,
    repeat: Repeat = sdks.Size.repeat,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Le SDK face à HPKE nu. / The SDK beside bare HPKE."""
    size = sdks.Size(requests, repeat, at_once)
    measured(lambda say, progress: sdks.run(size, say, progress), out, as_json)


@app.command("withdrawal")
def withdrawal(
    races: Annotated[
        int, typer.Option("--races", help="Retraits contre demandes en vol. / Withdrawals against requests.", min=1)
    ] = withdrawals.Size.races,
    per_s: Annotated[
        float, typer.Option("--per-s", help="Retraits par seconde. / Withdrawals a second.", min=0.1)
    ] = withdrawals.Size.races_per_s,
    repeat: Repeat = withdrawals.Size.repeat,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Des retraits qui courent contre des demandes en vol. / Withdrawals racing requests in flight."""
    size = withdrawals.Size(races, per_s, repeat)
    measured(lambda say, progress: withdrawals.run(size, say, progress), out, as_json)


def numbers(text: str, option: str, least: int) -> tuple[int, ...]:
    """Sizes, by commas."""
    try:
        found = tuple(int(size) for size in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < least:
        said = show.tr(f"au moins {least}, séparées par des virgules", f"at least {least} each, by commas")
        raise typer.BadParameter(said, param_hint=option)
    return found
