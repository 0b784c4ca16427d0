"""Deployment of detectors by MMDeploy."""
