"""Tables of texts in GLUE's formats."""

from __future__ import annotations

from pathlib import Path

HEADERS = {
    "SST-2": "sentence\tlabel",
    "MRPC": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "QQP": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    "STS-B": "index\tgenre\tfilename\tyear\told_index\tsentence1\tsentence2\tscore",
    "MNLI": "index\tpromptID\tsentence1_binary_parse\tsentence1\tsentence2\tlabel1\tgold_label",
    "QNLI": "index\tquestion\tsentence\tlabel",
    "RTE": "index\tsentence1\tsentence2\tlabel",
    "CoLA": "",
}
TEXTS = ("sentence", "question", "sentence1", "question1", "#1 String")
SECONDS = ("sentence2", "question2", "#2 String")
LABEL_COLUMNS = ("label", "gold_label", "score", "Quality", "is_duplicate")
LABELS = {"MNLI": ("neutral", "entailment"), "STS-B": ("2.5", "5"), "QNLI": ("a", "b")}


def table(task: str, name: str, count: int, labelled: bool = True) -> str:
    """The rows `NAME first I`, `NAME second I` and the two labels of the task in turn."""
    labels = LABELS.get(task, ("0", "1"))
    if task == "CoLA":
        return "".join(f"src\t{labels[i % 2]}\t*\t{name} first {i}\n" for i in range(count))
    columns = HEADERS[task].removeprefix("\ufeff").split("\t")
    if not labelled:
        columns = [c for c in columns if c not in LABEL_COLUMNS]
    lines = ["\t".join(columns)]
    for i in range(count):
        values = dict.fromkeys(columns, "x")
        for column in columns:
            if column in SECONDS or (task == "QNLI" and column == "sentence"):
                values[column] = f"{name} second {i}"
            elif column in TEXTS:
                values[column] = f"{name} first {i}"
            elif column in LABEL_COLUMNS:
                values[column] = labels[i % 2]
        lines.append("\t".join(values.values()))
    bom = "\ufeff" if task == "MRPC" else ""
    return bom + "\r\n".join(lines) + "\n"


def write_tables(folder: Path, **files: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.tsv").write_text(content, encoding="utf-8")
    return str(folder)
