"""What a trial is run for, one file each."""
