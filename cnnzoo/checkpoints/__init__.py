"""Published weights: the manifest, downloads, and reading and writing named tensors.

From a request to a loaded model: `source` resolves what the user asked for with the `manifest`,
`download` fetches the file, `weight_files` reads it or its shards, and `readers` parse them by their
content (`torch_file`, `hdf5`, `keras_file`). `weight_sets` finds the network among prefixes and other
tensors by the marks of the `layouts`, `variant_check` compares it with the network asked for,
`translate` renames its tensors, `match` finds its head, and `tensors` assigns them to a model.
"""
