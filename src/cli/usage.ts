// The table of commands: names, options, examples. --help is printed from it, the parser is fed from it.
import type { CommandSpec, OptionSpec } from './command.ts';

export const globalOptions: readonly OptionSpec[] = [
  { name: 'config', alias: 'c', value: 'FILE', about: 'use this config file' },
  { name: 'json', about: 'print data as JSON' },
  { name: 'quiet', alias: 'q', about: 'no talk on stderr, errors only' },
  { name: 'verbose', alias: 'v', about: 'more talk, and stack traces of errors' },
  { name: 'color', about: 'color, or --no-color for none' },
  { name: 'version', alias: 'V', about: 'print the version' },
  { name: 'help', alias: 'h', about: 'print this help' },
];

const selectors = '[SEL…]';
const any = { least: 0, most: Infinity };
const none = { least: 0, most: 0 };
const timeout: OptionSpec = { name: 'timeout', value: 'DURATION', about: 'how long to wait (default 30s)' };
const drain: OptionSpec = {
  name: 'drain',
  value: 'DURATION',
  about: 'let running connections end for that long first (default 0s)',
};

export const selectorHelp =
  'SEL is a tunnel name, a glob (db-*) or tag:NAME; several are allowed, none means all.';

export const commands: readonly CommandSpec[] = [
  {
    name: 'up',
    words: selectors,
    takes: any,
    about: 'bring tunnels up and wait until they serve',
    more: [
      'Starts the supervisor when there is none. Without SEL: every tunnel with autostart: true.',
      'On a terminal it asks what must be asked; off a terminal it fails with the code of the cause.',
      'Ctrl-C ends the waiting, not the tunnels.',
    ],
    options: [
      timeout,
      { name: 'accept-new', about: 'this once, trust host keys that are not known yet' },
      { name: 'remap', about: 'where a local port is taken, use a free one near it, until down' },
      { name: 'foreground', about: 'be the supervisor, in this process (containers, systemd)' },
      { ...drain, about: 'with --foreground: let connections end for that long at SIGTERM (default 0s)' },
    ],
    examples: [
      ['tunnel up', 'everything with autostart'],
      ['tunnel up db tag:demo', 'one tunnel and all with a tag'],
      ['tunnel up --timeout 5s db || tunnel status db', 'give up waiting soon; it goes on trying'],
      ['tunnel up --remap db', 'on another port when its own is taken; status shows which'],
      ['tunnel up --foreground', 'in a container or a unit'],
    ],
  },
  {
    name: 'down',
    words: selectors,
    takes: any,
    about: 'take tunnels down and free their ports',
    more: ['Answers when the ports are closed. When nothing is wanted any more the supervisor ends.'],
    options: [drain],
    examples: [
      ['tunnel down', 'everything'],
      ['tunnel down --drain 10s db', 'let running connections end first'],
    ],
  },
  {
    name: 'restart',
    words: selectors,
    takes: any,
    about: 'dial afresh over a new connection; the ports stay bound',
    options: [timeout, { name: 'accept-new', about: 'this once, trust host keys that are not known yet' }],
    examples: [['tunnel restart db', 'after a password or a key changed']],
  },
  {
    name: 'status',
    words: selectors,
    takes: any,
    about: 'what is up, what is not, and why',
    more: [
      'What is not up comes first. Exit 0 whatever the states are; with --check only if all are ready, else 9.',
      'Many tunnels that are away for one reason are one row; --verbose gives each its own.',
    ],
    options: [
      { name: 'watch', alias: 'w', about: 'keep showing it; with --json one document a line' },
      { name: 'check', about: 'exit 9 unless every selected tunnel is up or asleep and no probe fails' },
      { name: 'problems', about: 'only what does not serve although it is wanted' },
      { name: 'all', alias: 'a', about: 'every supervisor of this user' },
    ],
    examples: [
      ['tunnel status', ''],
      ['tunnel status --problems', 'of many tunnels those to look at'],
      ['tunnel status --check db && psql -h 127.0.0.1', 'only when it serves'],
      ["tunnel status --json | jq -r '.tunnels[].state'", 'for scripts'],
    ],
  },
  {
    name: 'wait',
    words: selectors,
    takes: any,
    about: 'wait until tunnels are up, asking for nothing; exit 9 when the time runs out',
    more: [
      'A tunnel with a probe is waited for until the target behind it answers. Without SEL it is what is wanted, else',
      'what has autostart.',
    ],
    options: [timeout],
    examples: [['tunnel wait db --timeout 1m', 'before a migration']],
  },
  {
    name: 'logs',
    words: selectors,
    takes: any,
    about: 'what the supervisor wrote down, also when none runs',
    options: [
      { name: 'follow', alias: 'f', about: 'go on with what is written from now on' },
      { name: 'lines', alias: 'n', value: 'N', about: 'the last N lines (default 100, all with --since)' },
      { name: 'since', value: 'DURATION', about: 'what is not older than that: 10m' },
    ],
    examples: [
      ['tunnel logs -f db', 'follow one tunnel'],
      ['tunnel logs --since 10m --json', 'for scripts'],
    ],
  },
  {
    name: 'check',
    words: '',
    takes: none,
    about: 'find every fault of the config; exit 3 when there is one',
    options: [],
    examples: [
      ['tunnel check', ''],
      ['tunnel -c draft.yaml check --json', 'for editors and CI'],
    ],
  },
  {
    name: 'show',
    words: selectors,
    takes: any,
    about: 'what each tunnel comes to, after defaults and ssh_config',
    options: [],
    examples: [['tunnel show db', 'hops, keys and files that will be used']],
  },
  {
    name: 'trust',
    words: '[SEL…|HOST…]',
    takes: any,
    about: "look at servers' host keys and trust them",
    more: [
      'Fetches the key over the way the tunnel would go, shows it, asks, stores it. HOST is a name from hosts: or',
      'ssh_config, or [user@]host:port; the name of a tunnel comes first.',
    ],
    options: [
      { name: 'yes', alias: 'y', about: 'trust the keys that are offered, of every hop, without asking' },
      {
        name: 'fingerprint',
        value: 'SHA256:…',
        about: 'trust without asking if the server has a key with this fingerprint, else exit 7',
      },
      { name: 'replace', about: 'a changed key: trust the new one, revoke the old one' },
      { name: 'also', about: 'a further key beside the known one (a balanced bastion)' },
    ],
    examples: [
      ['tunnel trust db', 'look, compare, say yes'],
      ['tunnel trust --fingerprint SHA256:q3Vx1b0g… db', 'off a terminal'],
      ['tunnel trust --replace db', 'after the server was set up anew'],
      ['tunnel trust bastion.example.org:2222', 'a server that no tunnel goes to yet'],
    ],
  },
  {
    name: 'hosts',
    words: '[list|forget HOST…|export]',
    takes: any,
    about: 'the host keys that are trusted',
    options: [
      { name: 'revoked', about: 'forget: take back that a key was revoked by trust --replace; keys stay' },
    ],
    examples: [
      ['tunnel hosts', 'each with its fingerprint and the line it stands on'],
      ['tunnel hosts forget katie.example.org', ''],
      ['tunnel hosts forget katie.example.org --revoked', 'after a key was replaced by mistake'],
      ['tunnel hosts export > known_hosts', 'for ssh -o UserKnownHostsFile='],
    ],
  },
  {
    name: 'why',
    words: 'NAME',
    takes: { least: 1, most: 1 },
    about: 'why a tunnel does not work: every layer of the way, and what to do',
    more: [
      'Tells DNS, TCP, key exchange, host key, each credential offered and the answer to it, of every hop; then the',
      'port here and the target. With a live link only DNS, TCP and the target are tried anew; else it logs in once.',
      'Exit code of the first layer that fails. Never shows a secret.',
    ],
    options: [],
    examples: [
      ['tunnel why db', ''],
      ["tunnel why db --json | jq -r '.error.code'", 'for scripts'],
    ],
  },
  {
    name: 'secret',
    words: 'set NAME [KIND] | delete NAME [KIND] | list',
    takes: { least: 0, most: 3 },
    about: 'passwords, passphrases and one-time code secrets in the keychain',
    more: [
      "NAME is a host's name or the path of a key file; KIND is password, passphrase or totp (default: password for a",
      'host, passphrase for a key file). The value comes from a hidden prompt, off a terminal from stdin.',
      'It is used where the config says keychain: password: keychain under the host.',
    ],
    options: [],
    examples: [
      ['tunnel secret set katie', 'asks for the password, unseen'],
      ['tunnel secret set ~/.ssh/id_ed25519', 'the passphrase of a key file'],
      ['pass show katie-totp | tunnel secret set katie totp', 'a one-time code secret, from stdin'],
      ['tunnel secret list', 'what is kept, and for which server'],
    ],
  },
  {
    name: 'allow',
    words: '',
    takes: none,
    about: 'allow the ./tunnels.yaml of this folder to be used',
    more: ['Shows what the file does and asks; off a terminal it does not ask.'],
    options: [{ name: 'yes', alias: 'y', about: 'allow it without asking' }],
    examples: [['tunnel allow', 'read what it does, say yes']],
  },
  {
    name: 'reload',
    words: '',
    takes: none,
    about: 'read the config again; running connections stay',
    options: [{ name: 'prune', about: 'take down tunnels that are gone from the file' }],
    examples: [['tunnel reload --prune', '']],
  },
  {
    name: 'init',
    words: '',
    takes: none,
    about: 'write a first config',
    options: [
      { name: 'host', value: 'HOST', about: 'SSH server: user@host[:port], or a name from ~/.ssh/config' },
      { name: 'remote', value: 'HOST:PORT', about: 'what to reach from there' },
      { name: 'local', value: 'PORT', about: 'port here (default: the same)' },
      { name: 'name', value: 'NAME', about: "the tunnel's name (default: after the host)" },
    ],
    examples: [
      ['tunnel init', 'asks three questions'],
      ['tunnel init --host me@bastion --remote db:5432', 'asks none'],
    ],
  },
  {
    name: 'schema',
    words: '',
    takes: none,
    about: 'print the JSON Schema of the config',
    options: [],
    examples: [['tunnel schema > tunnels.schema.json', 'for editors']],
  },
  {
    name: 'demo',
    words: '',
    takes: none,
    about: 'see it work: an own SSH server, an outage, a held connection',
    options: [{ name: 'yes', alias: 'y', about: 'answer the host key question with yes' }],
    examples: [['tunnel demo --yes', 'no network, no root, under 15 s']],
  },
];
