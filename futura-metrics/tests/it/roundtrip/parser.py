"""Reads expositions with the parsers of prometheus_client and tells what they hold.

A request is a line `FORMAT LENGTH` and that many bytes; the answer is one line of JSON.
"""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

PARSERS = {
    "text": parser.text_string_to_metric_families,
    "openmetrics": openmetrics.text_string_to_metric_families,
}


def tell_exemplar(exemplar):
    # JSON has neither NaN nor infinities: every number goes as text.
    return exemplar and [exemplar.labels, str(exemplar.value), exemplar.timestamp is not None]


def tell_sample(sample):
    return [sample.name, sample.labels, str(sample.value), tell_exemplar(sample.exemplar)]


def tell(family):
    samples = [tell_sample(sample) for sample in family.samples]
    return [family.name, family.type, family.documentation, family.unit, samples]


for head in sys.stdin.buffer:
    form, length = head.split()
    text = sys.stdin.buffer.read(int(length)).decode()
    try:
        answer = {"Ok": [tell(family) for family in PARSERS[form.decode()](text)]}
    except ValueError as error:
        answer = {"Err": str(error)}
    print(json.dumps(answer), flush=True)
