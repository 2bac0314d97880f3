"""A toolbox for RecordIO files: look into them, check them, turn them into other formats and back.

``penstock recordio head | stat | verify | convert | diff`` is the thin face of these modules:

    sources    what a SOURCE argument means: files, folders, manifests, stdin, FIFOs
    chunks     a stream -> bytes and frames, in bounded memory
    scan       payloads -> where every name, value, key and shape stands, all records at once
    head, stat, verify, convert, diff    one module for each verb
    profiles   what each of SageMaker's algorithms accepts, as data
    tables     batches of a matrix and labels, whatever file they came from
"""
