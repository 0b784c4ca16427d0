"""Deployment of gait models: the task for MMDeploy, and recognition while frames arrive."""
