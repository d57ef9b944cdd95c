"""What every view shares: bodies, blueprints, errors, languages, headers; knows no resource."""
