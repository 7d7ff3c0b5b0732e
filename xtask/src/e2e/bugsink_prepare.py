"""Makes Bugsink's databases and one project, and prints the project's DSN."""

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from projects.models import Project  # noqa: E402
from teams.models import Team  # noqa: E402

call_command("migrate", verbosity=0)
call_command("migrate", "snappea", database="snappea", verbosity=0)
team = Team.objects.create(name="checks")
project = Project.objects.create(team=team, name="ticket-api", slug="ticket-api", alert_on_new_issue=False)
print(project.dsn)
