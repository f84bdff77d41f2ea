"""From the neuron to backpropagation."""
