"""Horizontal bars as SVG: a scale from zero, a whisker from the lowest to the highest round, and colours that follow
the reader's."""

from html import escape

STYLE = """text{fill:#1f2328;font:14px system-ui,-apple-system,"Segoe UI",sans-serif}
.title{font-size:17px;font-weight:600}.note,.tick{fill:#59636e;font-size:12px}.value{font-weight:600}
rect{fill:#9aa4af}rect.own{fill:#0a7d55}.grid{stroke:#d1d9e0}.whisker{stroke:#1f2328;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note,.tick{fill:#9198a1}rect{fill:#656c76}rect.own{fill:#2ea078}\
.grid{stroke:#3d444d}.whisker{stroke:#f0f6fc}}"""

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 800, 236, 100, 64, 24, 14


def ticks(largest: float) -> list[float]:
    """Round numbers from zero to at least the largest."""
    step = 10.0 ** (len(str(int(largest))) - 1) if largest >= 1 else 0.1
    for factor in (0.1, 0.2, 0.5, 1, 2, 5):
        if largest / (step * factor) <= 6:
            step *= factor
            break
    count = int(-(-largest // step))
    return [step * number for number in range(count + 1)]


def bars(title: str, note: str, unit: str, rows: list[dict]) -> str:
    """Each row has name, value, low, high, label and own."""
    scale = ticks(max(row["high"] for row in rows))
    span = WIDTH - LEFT - RIGHT
    bottom = TOP + len(rows) * (BAR + GAP)
    height = bottom + 44

    def x(value: float) -> float:
        return LEFT + span * value / scale[-1]

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
             f'height="{height}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}</style>",
             f'<text class="title" x="0" y="20">{escape(title)}</text>',
             f'<text class="note" x="0" y="40">{escape(note)}</text>']
    parts.append(f'<path class="grid" fill="none" d="M{LEFT} {TOP - 6}V{bottom}H{WIDTH - RIGHT}"/>')
    for tick in scale:
        parts += [f'<line class="grid" x1="{x(tick):.1f}" y1="{bottom - 4}" x2="{x(tick):.1f}" y2="{bottom + 3}"/>',
                  f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.10g}</text>']
    parts.append(
        f'<text class="tick" x="{LEFT + span / 2:.1f}" y="{bottom + 36}" text-anchor="middle">{escape(unit)}</text>')
    for number, row in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        middle = y + BAR / 2
        own = ' class="own"' if row["own"] else ""
        parts += [f'<text x="{LEFT - 12}" y="{middle + 5}" text-anchor="end">{escape(row["name"])}</text>',
                  f'<rect{own} x="{LEFT}" y="{y}" width="{max(2.0, x(row["value"]) - LEFT):.1f}" '
                  f'height="{BAR}" rx="2"/>']
        if x(row["high"]) - x(row["low"]) > 1:
            parts.append(f'<path class="whisker" fill="none" d="M{x(row["low"]):.1f} {middle}H{x(row["high"]):.1f}'
                         f'M{x(row["low"]):.1f} {middle - 4}v8M{x(row["high"]):.1f} {middle - 4}v8"/>')
        parts.append(f'<text class="value" x="{max(x(row["value"]), x(row["high"])) + 10:.1f}" '
                     f'y="{middle + 5}">{escape(row["label"])}</text>')
    return "\n".join(parts + ["</svg>\n"])
