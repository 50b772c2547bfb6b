"""What a reader of "How fast is it?" has to know of each benchmark: name of its result, heading, words."""

from __future__ import annotations

MIXED = (
    "Five SST-2 sentences for each IMDb review, shuffled, cut to 512 tokens. The pipeline pads each batch to its "
    "longest text; `sentlora` sorts by length, scores 1,024 tokens at a time, and merges the adapter. The labels of "
    "the two are the same, or the benchmark fails. sentence-transformers only embeds the texts. One text at a time has "
    "no padding either, and wastes less of the processor than a batch of unequal texts does. In int8 the labels of a "
    "few texts differ; what that does to the accuracy is told under ONNX and int8 below."
)

SECTIONS: tuple[tuple[str, str, str], ...] = (
    (
        "training_speed_sst2",
        "Training: short texts",
        "SST-2 phrases, cut to 128 tokens, LoRA (r=8, query and value), batches of 32, in float32; only the steps are "
        "timed. The loop pads everything to 128 tokens, as tutorials do; the plain `Trainer` pads each random batch to "
        "its longest text. `batching` is what the library does with a batch: rows of similar lengths (`grouped`), or "
        "random rows cut into parts of similar lengths with the same gradient (`micro`), or neither (`random`). On a "
        "device that computes in bfloat16 two ways are repeated in it, by mixed precision (`bf16`).",
    ),
    (
        "training_speed_imdb",
        "Training: long texts",
        "IMDb reviews, cut to 256 tokens, otherwise as above. Most fill the 256 tokens, so there is little padding to "
        "save; taking a batch in parts of 1,024 tokens keeps the activations in the cache.",
    ),
    (
        "training_accuracy_table",
        "Training: accuracy",
        "What the ways to batch, and bfloat16, cost in accuracy: the SST-2 validation sentences after one epoch of "
        "4,000 phrases, three seeds each.",
    ),
    ("prediction_speed_mixed", "Prediction: short and long texts", MIXED),
    ("prediction_speed_imdb", "Prediction: long texts", "IMDb reviews alone, otherwise as above."),
    (
        "export_speed",
        "Prediction: ONNX and int8",
        "The same classifier as torch model, as ONNX graph, and with weights in 8 bits, behind the same "
        "`predict_proba`.",
    ),
    (
        "label_scoring_drugscom_three",
        "Label words: scoring against writing",
        "A model of the shape of Flan-T5-small with random weights, drug reviews of some 120 tokens, three labels of "
        "one token. Scoring gives the probabilities of all labels; `generate` writes one answer. The encoder alone is "
        "the bound of every way that reads the texts.",
    ),
    (
        "prefix_cache",
        "Frozen layers computed once",
        "Three epochs with LoRA in the last two of six layers, and of the head alone, with and without "
        "`cache_prefix=True`.",
    ),
    (
        "multi_adapter_5_at_once",
        "Many adapters over one base",
        "Texts in turn for five adapters, all at once.",
    ),
    (
        "multi_adapter_5_in_requests_of_8",
        "Many adapters over one base: requests",
        "The same in requests of eight texts, as a service gets them.",
    ),
    (
        "scaling",
        "More rows",
        "Time per text and peak memory of `predict_file`, and the time of training against its tokens. The curve "
        "is the memory that the process of the largest file held, from the first row to the last.",
    ),
    (
        "ray_predict",
        "Many workers",
        "`sentlora predict --engine ray` with one worker and with two, each on one core: the whole call, with the "
        "check of the files and the loading of the model. Then a run in which a worker is killed, made beside other "
        "work.",
    ),
    (
        "startup",
        "From a cold start",
        "Each a process of its own. `sentlora predict` labels one text with an adapter over minilm; nearly all its "
        "time is what the libraries take to import, among them bitsandbytes where it is installed.",
    ),
)
