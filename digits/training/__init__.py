"""What training stands on: MNIST, the augmentation, the optimizer."""
