"""The experiments of Ullrich et al. 2019 (section 6, appendices A to C), one command each.

``python -m benchmarks.paper NAME -o DIR`` from the root of the repository; `docs/paper.md` sets the
results beside the paper's.
"""
