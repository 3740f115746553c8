"""What reading stands on: from a picture file to images in the form of MNIST's."""
