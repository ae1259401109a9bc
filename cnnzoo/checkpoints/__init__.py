"""Published weights: the manifest, downloads, and reading and writing named tensors.

From a request to a loaded model: `source` resolves what the user asked for with the `manifest`,
`download` fetches the file, `readers` parse it (`torch_file`, `hdf5`), `translate`
renames the tensors by the `layouts` of their publishers, and `tensors` assigns them to a model.
"""
