"""The one training loop: pre-training and every fine-tuning call `train` here.

How to use it (this is the whole interface):

    config = BertConfig.from_dict(...)                  # stages/bert/config.py
    model = BertTasks(config, {"label": Head(units=2)}, precision="float32")   # stages/bert/model.py
    initialize(model, seed); load_encoder(model, folder)                       # model.py, checkpoint.py
    data = shuffled_batches(arrays, batch_size=32, seed=7)                     # stages/bert/batches.py
    result = train(
        model,
        classification_objective("label"),              # stages/bert/objectives.py
        data,
        spec=TrainSpec(steps=345, seed=7, optimizer=OptimizerSpec(lr=2e-5, warmup_steps=34)),
        runtime=Runtime(logs=Path("logs"), scratch=b.scratch, progress=progress, on_resume=b.resumed),
        evaluate=lambda step: {"valid": evaluate(model, objective, lambda: eval_batches)},
        eval_every=115,
    )
    metrics = evaluate(model, objective, eval_batches)  # {"loss": ..., "accuracy": ...}, exact over the set
    outputs = predict(model, eval_batches)              # {"label": array [examples, units], ...}

- A *batch* is a dict of arrays with a common leading dimension: `input_ids`, `input_mask`, `segment_ids`
  (all [B, S], int32), and whatever the objective needs (`label_ids` [B], ...). `example_weights` [B]
  (0 for padding rows) is understood by the ready-made objectives.
- *data* is a function `data(start) -> iterable of batches`: the endless, deterministic stream from step
  `start` on (0 based). This is what makes a resumed run see exactly the batches it had not seen.
- An *objective* (`Objective`) says what is minimised and measured: `sums(outputs, batch)` and
  `counts(batch)`, dicts of scalars with the same keys; a reported value is the sum over the count, over as
  many batches, replicas and micro-batches as there are, and so exact; the sum of the ratios named in
  `minimise` is the loss. Counts depend on the data only.
- *evaluate* returns `{folder: {tag: value}}`; each goes to TensorBoard below `logs/<folder>` and to
  `result.evals`. It is called after every `eval_every` steps (0: never) and at the end.
- `scratch` holds the checkpoints of the running job (weights, optimizer, step, history), of which the last
  few are kept. A second call with the same scratch continues, and on a CPU ends bit for bit where an
  undisturbed run ends. SIGTERM and Ctrl-C write a checkpoint first.
- Learning rates of layers: `OptimizerSpec(layer_decay=0.9)`; frozen layers: `layer_multipliers={"embeddings": 0}`.

`TrainSpec` and the data change the result; `Runtime` only says where and how to run.
"""
