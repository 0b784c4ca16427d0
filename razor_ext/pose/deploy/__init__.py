"""Deployment of pose estimators by MMDeploy."""
