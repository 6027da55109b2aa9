#include "data/data.h"

const struct opt data_opt_list[] = {
    {"data.train", OPT_PATHS, offsetof(struct data_opts, train), NULL, NULL, 0, 0,
     "token files to train on (mop tokenize makes them): names, patterns, folders, comma-separated"},
    {"data.valid", OPT_PATHS, offsetof(struct data_opts, valid), NULL, NULL, 0, 0, "token files to validate on, likewise"},
    {"data.seq", OPT_INT, offsetof(struct data_opts, seq), "1024", NULL, 1, 1 << 24, "tokens in a sequence"},
    {"data.pack", OPT_CHOICE, offsetof(struct data_opts, pack), "document", "document|across", 0, 0,
     "attention and positions confined to each document of a sequence, or running across them"},
    {"data.valid_fraction", OPT_FLOAT, offsetof(struct data_opts, valid_fraction), "0", NULL, 0, 0.9,
     "share of the documents of data.train held out for validation where data.valid is not given, from 0 to 0.9"},
    {"data.long", OPT_CHOICE, offsetof(struct data_opts, long_samples), "error", "error|truncate", 0, 0,
     "a fine-tuning sample of more than data.seq tokens is an error, or is cut"},
    {"data.verify", OPT_BOOL, offsetof(struct data_opts, verify), "true", NULL, 0, 0,
     "read the token files against their checksums before the first step"},
    {"data.tokenizer", OPT_CHOICE, offsetof(struct data_opts, tokenizer), "same", "same|any", 0, 0,
     "to train, token files of another tokenizer than the model's are refused, or taken with a warning"},
    {0},
};
