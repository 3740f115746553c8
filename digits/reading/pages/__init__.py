"""Random pages, drawn from MNIST's digits: what the finder learns from, in place of pictures that somebody labelled."""
