"""What images say about a volume: normal equations, prior, mean, bound, samples, evidence."""
