"""What every service process needs: settings, lifecycle, HTTP."""
