"""How secrets are recognised: forms of tokens, names of files, and what only looks like them.

The forms are facts that the services publish about their tokens (prefix, alphabet, length). Every pattern has a literal
that must occur in the text, so that most files cost one search for all literals; every repetition is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Form:
    """The form of one kind of secret.

    Args:
        kind: what it is, for people.
        literals: one of these texts occurs in every text that has one: in the secret, or the service's name beside it.
        body: pattern of the whole secret; group 1, where there is one, is what must not be a placeholder.
        variable: usual name of the environment variable that holds it.
    """

    kind: str
    literals: tuple[str, ...]
    body: str
    variable: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern, not inside a word; compiled when a text with one of the literals is searched."""
        return re.compile(rf"(?<![A-Za-z0-9_]){self.body}")


def _form(kind: str, literals: str, body: str, variable: str = "") -> Form:
    return Form(kind, tuple(literals.split()), body, variable)


_END = r"(?![A-Za-z0-9_-])"

FORMS: tuple[Form, ...] = (
    _form("Hugging Face token", "hf_", rf"hf_([A-Za-z0-9]{{34,40}}){_END}", "HF_TOKEN"),
    _form("Hugging Face organisation token", "api_org_", rf"api_org_([A-Za-z0-9]{{34}}){_END}", "HF_TOKEN"),
    _form("OpenAI key", "T3BlbkFJ", r"sk-(?:[a-z]+-)?([\w-]{20,100}T3BlbkFJ[\w-]{20,100})", "OPENAI_API_KEY"),
    _form("OpenAI key", "sk-", rf"sk-(?:proj|svcacct|admin)-([\w-]{{40,200}}){_END}", "OPENAI_API_KEY"),
    _form("API key", "sk-", rf"sk-([A-Za-z0-9]{{48}}|[0-9a-f]{{32}}){_END}", "OPENAI_API_KEY"),
    _form("Anthropic key", "sk-ant-", r"sk-ant-[a-z0-9]{3,10}-([\w-]{60,120})", "ANTHROPIC_API_KEY"),
    _form("OpenRouter key", "sk-or-", rf"sk-or-v1-([0-9a-f]{{64}}){_END}", "OPENROUTER_API_KEY"),
    _form("Groq key", "gsk_", rf"gsk_([A-Za-z0-9]{{48,56}}){_END}", "GROQ_API_KEY"),
    _form("xAI key", "xai-", rf"xai-([A-Za-z0-9]{{70,90}}){_END}", "XAI_API_KEY"),
    _form("Perplexity key", "pplx-", rf"pplx-([A-Za-z0-9]{{40,60}}){_END}", "PERPLEXITY_API_KEY"),
    _form("Replicate token", "r8_", rf"r8_([A-Za-z0-9]{{37}}){_END}", "REPLICATE_API_TOKEN"),
    _form("Tavily key", "tvly-", rf"tvly-(?:dev-|prod-)?([A-Za-z0-9]{{30,40}}){_END}", "TAVILY_API_KEY"),
    _form("Pinecone key", "pcsk_", rf"pcsk_([A-Za-z0-9_]{{50,90}}){_END}", "PINECONE_API_KEY"),
    _form("LangSmith key", "lsv2_", rf"lsv2_(?:pt|sk)_([0-9a-f]{{32}}_[0-9a-f]{{10}}){_END}", "LANGSMITH_API_KEY"),
    _form("NVIDIA key", "nvapi-", rf"nvapi-([\w-]{{60,75}}){_END}", "NVIDIA_API_KEY"),
    _form("ElevenLabs key", "sk_", rf"sk_([0-9a-f]{{48}}){_END}", "ELEVENLABS_API_KEY"),
    _form("Firecrawl key", "fc-", rf"fc-([0-9a-f]{{32}}){_END}", "FIRECRAWL_API_KEY"),
    _form("E2B key", "e2b_", rf"e2b_([0-9a-f]{{40}}){_END}", "E2B_API_KEY"),
    _form("Jina key", "jina_", rf"jina_([0-9a-f]{{32}}[\w-]{{20,40}}){_END}", "JINA_API_KEY"),
    _form("Weights & Biases key", "wandb_v1_", rf"wandb_v1_([\w]{{60,90}}){_END}", "WANDB_API_KEY"),
    _form("Assembler token", "asm_", rf"asm_([A-Za-z0-9_-]{{43}}){_END}", "ASSEMBLER_TOKEN"),
    _form("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"gh[pousr]_([A-Za-z0-9]{{36}}){_END}", "GITHUB_TOKEN"),
    _form("GitHub token", "github_pat_", rf"github_pat_([A-Za-z0-9_]{{82}}){_END}", "GITHUB_TOKEN"),
    _form("GitLab token", "glpat-", r"glpat-([\w.-]{20,60})", "GITLAB_TOKEN"),
    _form("AWS access key", "AKIA", rf"AKIA([A-Z2-7]{{16}}){_END}", "AWS_ACCESS_KEY_ID"),
    _form("AWS access key", "ASIA", rf"ASIA([A-Z2-7]{{16}}){_END}", "AWS_ACCESS_KEY_ID"),
    _form("Google API key", "AIza", rf"AIza([\w-]{{35}}){_END}", "GOOGLE_API_KEY"),
    _form("Google client secret", "GOCSPX-", rf"GOCSPX-([\w-]{{28}}){_END}", "GOOGLE_CLIENT_SECRET"),
    _form(
        "Slack token",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-",
        r"xox[abeoprs]-((?:\d{8,14}-){1,3}[A-Za-z0-9-]{20,80})",
        "SLACK_TOKEN",
    ),
    _form("Slack token", "xapp-", r"xapp-\d-([A-Z0-9]{8,14}-\d{8,14}-[a-z0-9]{40,80})", "SLACK_APP_TOKEN"),
    _form(
        "Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/services/(T[A-Z0-9]{7,12}/B[A-Z0-9]{7,12}/[A-Za-z0-9]{20,26})",
        "SLACK_WEBHOOK_URL",
    ),
    _form(
        "Discord webhook",
        "/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/\d{15,21}/([\w-]{60,72})",
        "DISCORD_WEBHOOK_URL",
    ),
    _form(
        "Discord bot token",
        "discord Discord DISCORD",
        r"[MNO][A-Za-z\d]{23,27}\.[\w-]{6}\.([\w-]{27,40})(?![\w-])",
        "DISCORD_TOKEN",
    ),
    _form("Telegram bot token", ":AA", rf"\d{{8,10}}:(AA[\w-]{{33}}){_END}", "TELEGRAM_BOT_TOKEN"),
    _form("Stripe key", "k_live_", r"[sr]k_live_([A-Za-z0-9]{20,120})", "STRIPE_API_KEY"),
    _form("SendGrid key", "SG.", r"SG\.([\w-]{20,24}\.[\w-]{39,50})", "SENDGRID_API_KEY"),
    _form("npm token", "npm_", rf"npm_([A-Za-z0-9]{{36}}){_END}", "NPM_TOKEN"),
    _form("PyPI token", "pypi-AgE", r"pypi-(AgE[\w-]{50,400})", "PYPI_TOKEN"),
    _form("Docker Hub token", "dckr_pat_", rf"dckr_pat_([\w-]{{27}}){_END}", "DOCKER_TOKEN"),
    _form("DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", rf"do[opr]_v1_([0-9a-f]{{64}}){_END}", "DIGITALOCEAN_TOKEN"),
    _form("Azure storage key", "AccountKey=", r"AccountKey=([A-Za-z0-9+/]{80,88}={0,2})", "AZURE_STORAGE_KEY"),
    _form("Supabase key", "sbp_ sb_secret_", rf"sb(?:p|_secret)_([A-Za-z0-9_]{{30,45}}){_END}", "SUPABASE_KEY"),
    _form("Notion token", "ntn_", rf"ntn_([A-Za-z0-9]{{40,50}}){_END}", "NOTION_TOKEN"),
    _form(
        "Airtable token",
        "airtable Airtable AIRTABLE",
        rf"pat[A-Za-z0-9]{{14}}\.([0-9a-f]{{64}}){_END}",
        "AIRTABLE_TOKEN",
    ),
    _form("Databricks token", "dapi", rf"dapi([0-9a-f]{{32}})(?:-\d)?{_END}", "DATABRICKS_TOKEN"),
    _form(
        "Shopify token",
        "shpat_ shpca_ shppa_ shpss_",
        rf"shp(?:at|ca|pa|ss)_([0-9a-fA-F]{{32}}){_END}",
        "SHOPIFY_TOKEN",
    ),
    _form("Linear key", "lin_api_", rf"lin_api_([A-Za-z0-9]{{40}}){_END}", "LINEAR_API_KEY"),
    _form("Grafana token", "glsa_", rf"glsa_([A-Za-z0-9]{{32}}_[0-9a-f]{{8}}){_END}", "GRAFANA_TOKEN"),
    _form("Sentry token", "sntrys_ sntryu_", r"sntry[su]_([\w=+/-]{40,200})", "SENTRY_AUTH_TOKEN"),
    _form("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1([0-9A-Z]{58})", "AGE_KEY"),
    _form("Postman key", "PMAK-", rf"PMAK-([0-9a-f]{{24}}-[0-9a-f]{{34}}){_END}", "POSTMAN_API_KEY"),
    _form("Mailgun key", "mailgun Mailgun MAILGUN", rf"key-([0-9a-f]{{32}}){_END}", "MAILGUN_API_KEY"),
    _form("Cloudinary address", "cloudinary://", r"cloudinary://\d{10,20}:([\w-]{20,40})@", "CLOUDINARY_URL"),
)

PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
KEY_BODY = re.compile(r"[A-Za-z0-9+/]{48}")

ADDRESS = re.compile(
    r"[a-z][a-z0-9+]{1,15}://([^\s:/@\"'<>{}$%]{1,64}):([^\s/@\"'<>{}$%*]{4,200})@([^\s/:\"'<>?]{1,200})"
)
"""An address with a password in it: user, password, host."""

ASSIGNED_NAMES = (
    "api_key",
    "apikey",
    "api-key",
    "secret_key",
    "secretkey",
    "access_token",
    "auth_token",
    "accesstoken",
    "authtoken",
    "client_secret",
    "secret_access_key",
    "private_token",
    "bearer_token",
    "bot_token",
    "api_token",
    "apitoken",
    "api_secret",
)
ASSIGNED = re.compile(
    r"[\w-]{0,30}[\"']?\]?[ \t]{0,8}(?:=|:|=>)[ \t]{0,8}[\"']?([A-Za-z0-9+/=_.-]{24,200})(?![\w.(\[])"
)
"""What follows one of the names where a value is assigned to it."""

JWT = re.compile(r"eyJ[\w-]{10,400}\.(eyJ[\w-]{20,2000})\.[\w-]{20,400}")

PLACEHOLDERS = re.compile(
    r"(?i)example|placeholder|your|dummy|fake|sample|xxxx|change.?me|redact|replace|insert|<|>|\.\.\.|\*\*|todo|secret_?here|"
    r"my.?(?:key|token|secret)|(?:key|token)_?(?:here|goes)|12345678|abcdefgh"
)
CERTAIN_PLACEHOLDERS = re.compile(r"(?i)example|placeholder|your|dummy|xxxx|redact|fake")

HARMLESS_VARIABLES = re.compile(
    r"(?i)^(?:(?:vite|next_public|react_app|public|nuxt_public|gradio|streamlit|python|uvicorn|gunicorn|tf|cuda|omp|"
    r"pytorch|transformers|tokenizers|mpl|pip|npm_config|expo_public|astro|gatsby|vue_app)_\w*|port|host|debug|mode|env|"
    r"environment|log_?level|node_env|flask_app|flask_env|flask_debug|tz|lang|app_name|base_url|model(?:_name|_id)?|"
    r"hf_home|ollama_host|app_env|version)$"
)
EXAMPLE_NAMES = re.compile(r"(?i)[._-](?:example|sample|template|dist|defaults?|tmpl|tpl|schema)(?:\.\w+)?$")

HISTORY_FILES = frozenset((".bash_history", ".zsh_history", ".python_history", ".psql_history", ".mysql_history"))
KEY_CONTAINERS = (".pfx", ".p12", ".jks", ".keystore", ".ppk", ".kdbx")
KEY_SUFFIXES = (".pem", ".key", ".p8", ".pk8", ".asc")
SSH_KEYS = frozenset(("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "identity"))
CREDENTIAL_FILES: dict[str, re.Pattern[str]] = {
    ".netrc": re.compile(r"\bpassword\s+\S"),
    "_netrc": re.compile(r"\bpassword\s+\S"),
    ".git-credentials": re.compile(r"://[^\s:]+:[^\s@]+@"),
    ".npmrc": re.compile(r"(?:_authToken|_password|_auth)\s*=\s*(?!\s|\$\{)\S"),
    ".yarnrc.yml": re.compile(r"npmAuthToken:\s*[\"']?(?!\$)\w"),
    ".pypirc": re.compile(r"(?m)^\s*password\s*[=:]\s*\S"),
    ".pgpass": re.compile(r"(?m)^[^#\s][^:\n]*:[^:\n]*:[^:\n]*:[^:\n]*:\S"),
    ".my.cnf": re.compile(r"(?m)^\s*password\s*=\s*\S"),
    ".htpasswd": re.compile(r"(?m)^[^#\s:]+:\S"),
    ".dockercfg": re.compile(r"\"auth\"\s*:\s*\"\w"),
    ".docker/config.json": re.compile(r"\"auth\"\s*:\s*\"\w"),
    ".aws/credentials": re.compile(r"(?i)aws_secret_access_key\s*=\s*\S"),
    ".kube/config": re.compile(r"(?:client-key-data|token|password):\s*\S"),
    "kaggle.json": re.compile(r"\"key\"\s*:\s*\"[0-9a-f]{16,64}\""),
    ".huggingface/token": re.compile(r"\w"),
    "application_default_credentials.json": re.compile(r"\"refresh_token\"\s*:\s*\"[^\"]"),
    "token.json": re.compile(r"\"refresh_token\"\s*:\s*\"[^\"]"),
    "credentials.json": re.compile(r"\"client_secret\"\s*:\s*\"[^\"]"),
    "client_secret.json": re.compile(r"\"client_secret\"\s*:\s*\"[^\"]"),
    "terraform.tfstate": re.compile(r"\"(?:password|secret|private_key)\"\s*:\s*\"[^\"]"),
    "secrets.yml": re.compile(r"(?m)^[ \t]*[\w-]*(?:key|token|secret|password)[\w-]*:\s*[\"']?\w"),
    "secrets.yaml": re.compile(r"(?m)^[ \t]*[\w-]*(?:key|token|secret|password)[\w-]*:\s*[\"']?\w"),
    "secrets.json": re.compile(r"\"[\w-]*(?:key|token|secret|password)[\w-]*\"\s*:\s*\"[^\"]"),
}
"""Name, or the end of the path, → what such a file contains when it holds a secret."""
