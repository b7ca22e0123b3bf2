"""Examples a CPU second of ways to read records: way, folder, batches of 256."""

import json
import sys
import time
from pathlib import Path

from stagedml.stages.bert.records import PretrainReader

BATCH = 256


def main() -> None:
    """Reads the same number of batches whatever the way; the first ones are not counted."""
    way, folder, batches = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    reader = PretrainReader(folder, batch_size=BATCH)
    if way == "numpy":
        stream = iter(reader.batches())
    elif way == "dataset":
        stream = iter(reader.dataset())
    else:
        import tensorflow as tf

        paths = [str(p) for p in sorted(folder.glob("*.tfrecord"))]
        records = tf.data.TFRecordDataset(paths).repeat()
        spec = reader.schema.spec()
        if way == "parse batches":
            parsed = records.batch(BATCH).map(lambda r: tf.io.parse_example(r, spec))
        else:
            parsed = records.map(lambda r: tf.io.parse_single_example(r, spec)).batch(BATCH)
        stream = iter(parsed.prefetch(2))
    for _ in range(5):
        next(stream)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(stream)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"examples": batches * BATCH, **seconds}))


main()
