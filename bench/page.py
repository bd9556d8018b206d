"""The page of all benches, `docs/bench.md`, and its plots: text and SVG from results, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from textwrap import wrap

from bench.report import Contender, Figures, Result, Target, Words

COMMANDS = {
    "gate": "accord bench gate",
    "release": "accord bench release",
    "ledger": "accord bench ledger --full",
    "exchange": "accord bench exchange",
    "withdrawal": "accord bench withdrawal",
    "scale": "accord bench scale --full",
    "start": "accord bench start",
    "sdk": "accord bench sdk",
}
"""Every bench, in the order of the page, and what measures it."""

_KINDS = {
    "rate": (("per_s", "per_cpu_s"), "par seconde (foncé), par seconde de processeur (clair) · a second (dark), a CPU-second (light)"),
    "latency": (("p50_ms", "p90_ms", "p99_ms"), "ms : médiane, centiles 90 et 99 · ms: median, 90th and 99th percentiles"),
    "time": (("s",), "secondes · seconds"),
}  # fmt: skip
"""What one plot shows: figures of one unit."""
_SHADES = ("#1f4e8c", "#7fa8d6", "#c3d7ee")
_LABEL_PX, _BAR_PX, _VALUE_PX, _THICK_PX, _LINE_PX, _GAP_PX, _TOP_PX = 250, 380, 90, 13, 15, 9, 62
_LABEL_CHARS = 38
"""What fits beside the bars; more goes on below."""


def plots(result: Result) -> dict[str, str]:
    """File name → SVG, one for each kind of figure that its contenders have."""
    found = {}
    for kind, (names, unit) in _KINDS.items():
        rows = [(_who(c), [c.figures.get(name) for name in names]) for c in result.contenders if _has(c.figures, names)]
        if rows:
            found[f"{result.bench}-{kind}.svg"] = bars(result.title, unit, rows)
    return found


def bars(title: Words, unit: str, rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """Horizontal bars from zero, a group of shades for each row, each with its value; what was not measured has no bar."""
    most = max((value for _, values in rows for value in values if value), default=1.0)
    parts, y = list[str](), _TOP_PX
    for label, values in rows:
        lines, top = wrap(label, _LABEL_CHARS), y
        parts += [_text(_LABEL_PX - 8, top + 11 + n * _LINE_PX, line, "end") for n, line in enumerate(lines)]
        for shade, value in zip(_SHADES, values, strict=False):
            if value is not None:
                width = max(_BAR_PX * value / most, 1)
                parts.append(f'<rect x="{_LABEL_PX}" y="{y}" width="{width:.1f}" height="{_THICK_PX}" fill="{shade}"/>')
                parts.append(_text(_LABEL_PX + width + 5, y + 11, number(value)))
                y += _LINE_PX
        y = max(y, top + len(lines) * _LINE_PX) + _GAP_PX
    wide = _LABEL_PX + _BAR_PX + _VALUE_PX
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y}" width="{wide}" height="{y}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="#1b1b1b"><title>{escape(" · ".join(title))} — {escape(unit)}</title>'
    )
    paper = f'<rect width="{wide}" height="{y}" fill="#ffffff"/>'
    said = [
        f'<text x="8" y="{18 + 16 * n}" font-size="14" font-weight="bold">{escape(line)}</text>'
        for n, line in enumerate(title)
    ]
    return "\n".join([head, paper, *said, _text(8, 50, unit), *parts, "</svg>\n"])


def page(results: Mapping[str, Result], folder: str = "bench") -> str:
    """The page; plots are in `folder` beside it. A bench without a result is named with its command."""
    parts = [_HEAD, _summary(results)]
    parts += [_section(results[name], folder) if name in results else _missing(name) for name in COMMANDS]
    return "\n".join(parts)


_HEAD = """# Mesures · Measures

Page écrite par `accord bench draw` depuis `bench/results/*.json` ; `accord bench all` refait toutes les mesures, puis la page. Chaque chiffre est celui d'une
machine, celle qui est dite ; ce qui compte est le rapport à la limite, ou à un autre, mesuré dans la même série. Médianes ; rien n'est gardé d'une mesure à l'autre.
*Written by `accord bench draw` from `bench/results/*.json`; `accord bench all` measures everything again, then writes the page. Each figure is that of one machine,
the one named; what counts is the ratio to the limit, or to another, measured in the same run. Medians; nothing is cached between measures.*

Ce que coûte chaque étape, et pourquoi des cibles sont manquées : [ADR 0024](adr/0024-what-two-cores-do-not-give.md). *What each step costs, and why targets are missed.*
"""


def _summary(results: Mapping[str, Result]) -> str:
    lines = ["| mesure · bench | tenues · met | manquées · missed | non mesurées · not measured |", "|---|---|---|---|"]
    for name in COMMANDS:
        met = [target.met for target in results[name].targets] if name in results else []
        counts = [str(met.count(value)) for value in (True, False, None)] if met else ["–", "–", "–"]
        lines.append(f"| [{name}](#{name}) | {' | '.join(counts)} |")
    return "\n".join([*lines, ""])


def _missing(name: str) -> str:
    return f"## {name}\n\nPas encore mesuré · *not measured yet*: `{COMMANDS[name]} --out bench/results`\n"


def _section(result: Result, folder: str) -> str:
    sizes = ", ".join(f"{name} {number(value)}" for name, value in result.sizes.items())
    lines = [
        f"## {result.bench}", "", f"{result.title[0]} · *{result.title[1]}*. `{COMMANDS.get(result.bench, result.bench)} --out bench/results`", "",
        f"{sizes} ; {result.repeat} × chacun, médiane · *{result.repeat} × each, median*.", "",
    ]  # fmt: skip
    lines += [f"![{' · '.join(result.title)}]({folder}/{name})" for name in plots(result)]
    lines += [
        "",
        "| cible · target | trouvé · found | borne · bound | |",
        "|---|---|---|---|",
        *map(_target, result.targets),
        "",
    ]
    if result.ratios:
        lines += [", ".join(f"`{name}` {number(value)}" for name, value in result.ratios.items()) + ".", ""]
    lines += [f"> {fr} · *{en}*" for fr, en in result.remarks]
    return "\n".join([*lines, *_where(result)])


def _where(result: Result) -> Iterable[str]:
    seen = result.machine
    load = " → ".join(str(load) for load in seen.load_1m)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    memory = f"{seen.memory_bytes / 1e9:.0f} Go"
    yield f"<small>{seen.cores} × {seen.cpu}, {memory}, {seen.system}, charge · load {load} ; {versions}</small>\n"


def _target(target: Target) -> str:
    bound = "≥" if target.at_least else "≤"
    met = {True: "**tenue · met**", False: "**manquée · missed**", None: "non mesurée · not measured"}[target.met]
    return (
        f"| {target.label[0]} · *{target.label[1]}* | {number(target.found)} | {bound} {number(target.limit)} | {met} |"
    )


def number(value: float | str | None) -> str:
    """As a person reads it: thousands apart, three digits that count below a hundred."""
    match value:
        case None:
            return "–"
        case str():
            return value
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"


def _who(contender: Contender) -> str:
    return f"{contender.label[1]}, {number(contender.at)}" if contender.at else contender.label[1]


def _has(figures: Figures, names: Iterable[str]) -> bool:
    return any(figures.get(name) is not None for name in names)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
