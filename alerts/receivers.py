"""Whom Alertmanager tells: by mail, by chat, by a webhook; what a message says. Pure.

The addresses are examples. Secrets stand in files, never in the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


SECRETS = "/etc/alertmanager/secrets"
TEMPLATES = "lightmeter.tmpl"
PAGES, TICKETS, SCALER, WATCHDOG, NOWHERE = "pages", "tickets", "scaler", "watchdog", "nowhere"


@dataclass(frozen=True)
class Way:
    """One way to reach people."""

    says: str
    """What to change in the file, for its head."""
    common: dict[str, Any]
    """What all receivers of this kind share."""
    pages: dict[str, Any]
    tickets: dict[str, Any]


def _mail(to: str) -> dict[str, Any]:
    return {"email_configs": [{
        "to": to,
        "send_resolved": True,
        "headers": {"Subject": '{{ template "lightmeter.subject" . }}'},
        "text": '{{ template "lightmeter.text" . }}',
        "html": '{{ template "lightmeter.html" . }}',
    }]}  # fmt: skip


def _chat(channel: str) -> dict[str, Any]:
    return {"slack_configs": [{
        "api_url_file": f"{SECRETS}/chat-url",
        "channel": channel,
        "send_resolved": True,
        "title": '{{ template "lightmeter.subject" . }}',
        "title_link": '{{ template "lightmeter.link" . }}',
        "text": '{{ template "lightmeter.chat" . }}',
        "fallback": '{{ template "lightmeter.subject" . }}',
        "color": '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}',
    }]}  # fmt: skip


def _post(url: str) -> dict[str, Any]:
    return {"webhook_configs": [{"url": url, "send_resolved": True}]}


WAYS: dict[str, Way] = {
    "email": Way(
        f"Pages and tickets by mail. Change the mail server, who sends and who gets; the password stands in {SECRETS}/smtp-password.",
        {
            "smtp_smarthost": "mail.example.com:587",
            "smtp_from": "alertmanager@example.com",
            "smtp_auth_username": "alertmanager@example.com",
            "smtp_auth_password_file": f"{SECRETS}/smtp-password",
            "smtp_require_tls": True,
        },
        _mail("oncall@example.com"),
        _mail("gpu-team@example.com"),
    ),
    "chat": Way(
        f"Pages and tickets into channels of Slack or Mattermost. The address of the incoming webhook, which is a secret, stands in {SECRETS}/chat-url.",
        {},
        _chat("#oncall"),
        _chat("#gpu-tickets"),
    ),
    "webhook": Way(
        "Pages and tickets to something that takes Alertmanager's JSON. Change both addresses.",
        {},
        _post("http://127.0.0.1:8080/pages"),
        _post("http://127.0.0.1:8080/tickets"),
    ),
}
"""By the name of the file."""


def scaler(url: str, token_file: str) -> dict[str, Any]:
    """Tell the scaler, which knows the caller by a token, if it asks for one."""
    known = {"http_config": {"authorization": {"type": "Bearer", "credentials_file": token_file}}}
    told = {"url": url, "send_resolved": True, "max_alerts": 0} | (known if token_file else {})
    return {"webhook_configs": [told]}


DEAD_MANS_SWITCH = """\
  # A dead man's switch outside pages when this no longer arrives, every minute:
  # webhook_configs:
  #   - url: https://dead-mans-switch.example.com/ping/your-id
  #     send_resolved: false
"""
"""Stands at the end of the file, below the watchdog's receiver."""

MESSAGES = """\
{{ define "lightmeter.subject" -}}
[{{ .Status }}] {{ .CommonLabels.alertname }}: {{ with index .Alerts 0 }}{{ .Annotations.summary }}{{ end }}
{{- if gt (len .Alerts) 1 }} (the first of {{ len .Alerts }}){{ end }}
{{- end }}

{{ define "lightmeter.link" -}}
{{ with index .Alerts 0 }}{{ .Annotations.dashboard_url }}{{ end }}
{{- end }}

{{ define "lightmeter.text" -}}
{{ range .Alerts }}[{{ .Status }}] {{ .Annotations.summary }}

First: {{ .Annotations.action }}
Runbook: {{ .Annotations.runbook_url }}
Panel: {{ .Annotations.dashboard_url }}
{{ .Labels.severity }}, {{ with .Labels.service }}service {{ . }}, {{ end }}since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC

{{ end }}
{{- end }}

{{ define "lightmeter.chat" -}}
{{ range .Alerts }}*{{ .Annotations.summary }}*
First: {{ .Annotations.action }}
<{{ .Annotations.runbook_url }}|Runbook> | <{{ .Annotations.dashboard_url }}|Panel> | since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC
{{ end }}
{{- end }}

{{ define "lightmeter.html" -}}
{{ range .Alerts }}<p><b>[{{ .Status }}] {{ .Annotations.summary }}</b></p>
<p>First: {{ .Annotations.action }}</p>
<p><a href="{{ .Annotations.runbook_url }}">Runbook</a>, <a href="{{ .Annotations.dashboard_url }}">panel</a></p>
<p>{{ .Labels.severity }}, {{ with .Labels.service }}service {{ . }}, {{ end }}since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC</p>
<hr>
{{ end }}
{{- end }}
"""
"""What a message says, as Go's templates. https://prometheus.io/docs/alerting/latest/notifications/"""
