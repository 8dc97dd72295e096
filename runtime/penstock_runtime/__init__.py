"""What every service process needs: settings, logs, background tasks, liveness and its state folder."""
