"""What every room may use and that knows none of them: errors, addresses, files in any storage, numbers as text."""
