"""The lecture's rows, chapter by chapter, in its order; a chapter is a folder of examples/."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import examples

CHAPTERS = {
    "history": "From the neuron to backpropagation",
    "representations": "Third wave, data, representations",
    "inputs": "Massaging the data",
    "structure": "Choosing the model: activations, outputs, structure",
    "generalisation": "Improving generalisation",
    "objectives": "Objectives",
    "training": "Training",
    "timeline": "The timeline's systems",
    "beyond": "Beyond the slides",
}

TITLES = {
    "history": """0 Learning is a function
1 The neuron: threshold and spike
2 McCulloch–Pitts
3 Rosenblatt's perceptron
4 ADALINE and MADALINE
5 Multilayer perceptron
6 Universal approximation
7 Backpropagation, 1986
8 Too deep: plain and gated stacks
9 Distributed representations""",
    "representations": """10 Deep autoencoder with pre-training, 2006
11 RBM and DBN
12 MNIST, the drosophila
13 Larger is better
14 The whole pipeline: data, model, objective, training, testing
15 Features become linearly separable
16 Cartesian to polar
17 Hidden factors
18 No free lunch""",
    "inputs": """19 Normalised inputs
20 Batch normalisation
21 Layer normalisation
22 Position encoding
23 Weight initialisation
24 Data augmentation""",
    "structure": """25 Sigmoid
26 tanh
27 ReLU
28 Leaky ReLU
29 Maxout
30 ELU
31 Softmax
32 Outputs and losses that belong together
33 LeNet-5
34 Not just images: speech
35 Information funnels
36 Skip connections
37 Recurrent nets, LSTM, GRU""",
    "generalisation": """38 L1 and L2
39 Early stopping
40 Noise on inputs
41 Noise on outputs
42 Noise on weights
43 Sparse representations
44 Parameter sharing
45 Distillation
46 Sparse initialisation
47 Pre-training
48 Transfer learning
49 Dropout
50 Semi-supervised learning
51 Multitask learning
52 Adversarial examples""",
    "objectives": """53 Cross-entropy
54 New objectives
55 Surrogate objectives""",
    "training": """56 Loss landscapes
57 Gradient descent on all the data
58 Conjugate gradients
59 BFGS and L-BFGS
60 Stochastic gradient descent
61 Momentum
62 Nesterov's momentum
63 RProp
64 RMSProp
65 RMSProp with momentum
66 Adam
67 The learning rate, less relevant
68 Gradient clipping
69 Hyper-parameters
70 Testing your model""",
    "timeline": """71 GPUs, 2008
72 Convolutional DBN, 2009
73 Rectified units in RBMs, 2010
74 AlexNet, 2012
75 Adadelta, 2012
76 VAE, 2013
77 Encoder–decoder and GRU, 2014
78 GAN, 2014
79 ResNet, 2015
80 Highway nets, 2015
81 U-Net, 2015
82 AlphaGo, 2016
83 Programs as graphs, 2016
84 YOLO, 2016
85 Attention is all you need, 2017
86 CycleGAN, 2017
87 Turing award, 2019
88 GPT-3, 2020
89 DALL-E, 2021""",
    "beyond": """B1 AdamW, averaging, warm-up
B2 Lion
B3 Muon
B4 Schedule-free
B5 LoRA and adapters
B6 The Llama block
B7 Caches, speculation, quantised inference
B8 Attention in chunks
B9 Mixture of experts
B10 Diffusion and flow matching
B11 ViT
B12 Contrastive learning, state spaces, preferences, precision""",
}


class UnknownRowError(ValueError):
    """There is no such row; the message names the nearest."""


def titles(chapter: str) -> dict[str, str]:
    """The rows of a chapter by number."""
    return {number: title for number, _, title in (line.partition(" ") for line in TITLES[chapter].splitlines())}


@cache
def modules() -> dict[str, ModuleType]:
    """The files of the course by name, in the order of their rows."""
    found = {name: importlib.import_module(f"examples.{chapter}.{name}") for chapter, name in _files()}
    order = [number for chapter in CHAPTERS for number in titles(chapter)]
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].ROW.rows[0])))


def _files() -> Iterator[tuple[str, str]]:
    for package in pkgutil.iter_modules(examples.__path__):
        if package.name in CHAPTERS:
            folder = importlib.import_module(f"examples.{package.name}").__path__
            yield from ((package.name, file.name) for file in pkgutil.iter_modules(folder))


def find(word: str) -> str:
    """The name of the file for a name or the number of a row.  Raises UnknownRowError with the nearest one."""
    for name, module in modules().items():
        if word == name or word.upper() in module.ROW.rows:
            return name
    everything = {number: title for chapter in CHAPTERS for number, title in titles(chapter).items()}
    if word.upper() in everything:
        raise UnknownRowError(
            f"row {word} ({everything[word.upper()]}) is not written yet; see python -m examples list"
        )
    near = difflib.get_close_matches(word, [*modules(), *everything], 1, 0.0)[0]
    raise UnknownRowError(f"there is no row {word!r}; did you mean {near!r}?  python -m examples list shows all")
