"""Fine-tunes ImageNet networks on chest X-rays. For learning and research, not for diagnosis."""
