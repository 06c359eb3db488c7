"""What the campaigns share: verdicts and clean-up, mounts, devices, content that can be made again, trees."""
