#!/usr/bin/env python3
"""Writes the table of speeds in the READMEs from the newest file in bench/results.

Usage: bench/readme_table.py [--check] [--results FILE] README...
--check writes nothing and exits 1 where a README differs. The table stands between two comments:
<!-- bench/readme_table.py --> and <!-- end -->.
"""

import argparse
import difflib
import re
import sys
import textwrap
from pathlib import Path

import result_file

PLACE = re.compile(r"(<!-- bench/readme_table\.py -->\n).*?(<!-- end -->)", re.S)

WORDS = {
    "en": {
        "head": ["model's shape", "threads", "prompt (512)", "of the int8 peak", "generation (128)",
                 "of the read bandwidth", "at depth", "32 together", "of the int8 peak"],
        "measured": "Random weights of published shapes ({type} body, {embedding_type} head), {cpus} "
                    "cores of an {cpu}, {kernels} kernels, {date}; tokens per second, and in brackets "
                    "times the best other engine's figure, scaled by what each machine allows "
                    "([how](docs/bench.md)). Shares are of ceilings measured around each "
                    "repetition; everything is in [{file}](bench/results/{file}).",
        "load": "- {shape}: loaded in {seconds:.2f} s, peak memory {peak:.2f} GB ({weights:.2f} GB of "
                "weights)",
        "deep": "; at depth {peak:.2f} GB ({kv:.2f} GB of KV cache)",
        "end": ".",
    },
    "ja": {
        "head": ["モデルの形", "スレッド", "プロンプト（512）", "int8 上限に対する割合", "生成（128）",
                 "読み出し帯域に対する割合", "深い位置で", "32 本同時", "int8 上限に対する割合"],
        "measured": "公開されているモデルと同じ形の乱数の重み（本体 {type}、ヘッド {embedding_type}）、{cpu} の "
                    "{cpus} コア、{kernels} カーネル、{date}。単位はトークン/秒で、括弧内はほかのエンジンの最速値との比です"
                    "（それぞれのマシンの上限で補正、[方法](docs/bench.md)）。割合は各測定の前後に測った上限に対するもので、"
                    "数値はすべて [{file}](bench/results/{file}) にあります。",
        "load": "- {shape}: 読み込み {seconds:.2f} 秒、最大メモリ {peak:.2f} GB（重み {weights:.2f} GB）",
        "deep": "、深い位置では {peak:.2f} GB（KV キャッシュ {kv:.2f} GB）",
        "end": "。",
    },
}


def speed(row):
    if row is None:
        return ""
    text = f"{row['tokens_per_second']:.1f}"
    if row["tokens_per_second"] < 1:
        text = f"{row['tokens_per_second']:.2f}"
    if "peer" in row:
        text += f" ({row['peer']['ratio']:.2f}×)"
    return text


def share(row, key):
    return "" if row is None else f"{row[key]:.2f}"


def load_line(words, name, shape):
    load, deep = shape["load"], shape.get("load_at_depth")
    line = words["load"].format(shape=name, seconds=load["seconds"],
                                peak=load["peak_resident_bytes"] / 1e9,
                                weights=load["weight_bytes"] / 1e9)
    if deep:
        line += words["deep"].format(peak=deep["peak_resident_bytes"] / 1e9,
                                     kv=deep["kv_bytes"] / 1e9)
    return line + words["end"]


def table(document, file, language):
    words = WORDS[language]
    lines = ["| " + " | ".join(words["head"]) + " |", "|---|" + "--:|" * (len(words["head"]) - 1)]
    for name, shape in document["shapes"].items():
        main = shape["load"].get("layout")
        for threads in sorted({row["threads"] for row in shape["results"]}):
            rows = {row["test"]: row for row in shape["results"] 
                    if row["threads"] == threads and row.get("layout") == main}
            prompt = rows.get("pp512") or rows.get("pp16")
            plain = [test for test in rows if re.fullmatch(r"tg\d+", test)]
            deep = [test for test in rows if re.fullmatch(r"tg\d+ @ d\d+", test)]
            token = rows[plain[0]] if plain else None
            deeper = f"{speed(rows[deep[0]])} (d{rows[deep[0]]['depth']})" if deep else ""
            many = rows.get("npl32") or rows.get("npl2")
            lines.append("| " + " | ".join([
                name, str(threads), speed(prompt), share(prompt, "int8_share"), speed(token),
                share(token, "read_share"), deeper, speed(many), share(many, "int8_share")]) + " |")
    first = next(iter(document["shapes"].values()))
    loads = [load_line(words, name, shape) for name, shape in document["shapes"].items()]
    measured = words["measured"].format(file=file.name, cpu=document["cpu"], cpus=document["cpus"],
                                        date=document["date"], kernels=first["kernels"],
                                        type=first["type"], embedding_type=first["embedding_type"])
    if language == "en":
        measured = textwrap.fill(measured, 105, break_long_words=False, break_on_hyphens=False)
    return "\n".join([measured, "", *lines, "", *loads, ""])


def main():
    parser = argparse.ArgumentParser(usage="bench/readme_table.py [--check] [--results FILE] README...")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", default=None)
    parser.add_argument("readmes", nargs="+", metavar="README")
    options = parser.parse_args()
    status = 0
    try:
        file = Path(options.results or
                    result_file.newest(Path(__file__).resolve().parent / "results"))
        document = result_file.read(file)
        for readme in map(Path, options.readmes):
            old = readme.read_text(encoding="utf-8")
            text = table(document, file, "ja" if readme.name.endswith(".ja.md") else "en")
            new, places = PLACE.subn(lambda m: m[1] + text + m[2], old)
            if places != 1:
                raise ValueError(f"{readme}: {places} places for the table found, expected one")
            if not options.check:
                readme.write_text(new, encoding="utf-8")
            elif new != old:
                status = 1
                sys.stderr.writelines(difflib.unified_diff(
                    old.splitlines(True), new.splitlines(True), str(readme),
                    f"{readme} from {file.name}"))
    except (ValueError, OSError) as error:
        sys.exit(f"readme_table.py: {error}")
    return status


if __name__ == "__main__":
    sys.exit(main())
