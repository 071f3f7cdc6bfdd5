"""Reading of users' text files: encodings, JSON, YAML and XML, with limits, and errors in one sentence."""

from tracker.parsing.errors import explain_errors
from tracker.parsing.json_file import read_json
from tracker.parsing.numbers import split_numbers, to_number, to_whole_number
from tracker.parsing.text import iter_csv_rows, iter_lines, open_text, read_head, read_lines, read_text
from tracker.parsing.xml_file import line_of, read_xml
from tracker.parsing.yaml_file import read_yaml_file

__all__ = [
    "explain_errors",
    "iter_csv_rows",
    "iter_lines",
    "line_of",
    "open_text",
    "read_head",
    "read_json",
    "read_lines",
    "read_text",
    "read_xml",
    "read_yaml_file",
    "split_numbers",
    "to_number",
    "to_whole_number",
]
