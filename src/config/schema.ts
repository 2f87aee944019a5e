// The shape of the config file: which keys there are, where, and how each value reads. The one definition behind parsing and `tunnel schema`.
import * as z from 'zod';
import { hostAddress, hops, targetGlob, spelledForward, type SpelledForward } from './address.ts';
import { algorithmList } from './algorithms.ts';
import * as choice from './special-values.ts';
import { probe } from './special-values.ts';
import { proxy } from './special-values.ts';
import { secretSource } from './special-values.ts';
import * as value from './value.ts';

/** A value read by one of our parsers; `json` is what the JSON Schema says of it. */
function leaf<T>(parse: (input: unknown) => value.Parsed<T>, json: object, description: string) {
  return z
    .any()
    .meta({ ...json, description })
    .transform((input, context): T => {
      const read = parse(input);
      if ('value' in read) return read.value;
      for (const { problem, hint, side, at = [] } of value.faultsOf(read))
        context.issues.push({
          code: 'custom',
          message: problem,
          path: [...at],
          params: { hint, side },
          input: null,
        });
      return z.NEVER;
    })
    .optional();
}

const string = { type: 'string' };
const boolean = { type: 'boolean' };
const durationText = { type: 'string', pattern: '^(\\d+(\\.\\d+)?(ms|s|m|h|d))+$', examples: ['30s', '5m'] };
const portNumber = { type: 'integer', minimum: 1, maximum: 65535 };
const textOrList = { type: ['string', 'array'], items: string };
const addressText = { type: ['integer', 'string'] };
const secretText = {
  anyOf: [
    { enum: ['keychain', 'prompt'] },
    { type: 'string', pattern: '^(env|file|command):' },
    {
      type: 'object',
      properties: { command: { type: 'array', items: string } },
      required: ['command'],
      additionalProperties: false,
    },
  ],
};
const secret = (of: string) =>
  leaf(
    secretSource,
    secretText,
    `Where the ${of} is found: keychain, prompt, env:NAME, file:PATH, command:[…].`,
  );
const algorithms = (kind: Parameters<typeof algorithmList>[0], of: string) =>
  leaf(
    algorithmList(kind),
    textOrList,
    `${of}, in order; + - ^ in front change the defaults, as in ssh_config.`,
  );
const duration = (description: string) => leaf(value.positiveDuration, durationText, description);
const flag = (description: string) => leaf(value.flag, boolean, description);
const words = (description: string) => leaf(value.listOf(value.text), textOrList, description);
/** Read once the forward's type is known. */
const address = (description: string) =>
  z
    .any()
    .meta({ ...addressText, description })
    .optional();

const hook = (when: string) =>
  leaf(value.argumentList, { type: 'array', items: string }, `Run when ${when}: [program, argument].`);
const hooks = z
  .strictObject({
    up: hook('the tunnel has come up, or came back'),
    down: hook('it was taken down'),
    needs_you: hook('it needs a person'),
  })
  .meta({ description: 'Commands for what becomes of a tunnel, run without a shell.' })
  .optional();

const methods = ['agent', 'publickey', 'keyboard-interactive', 'password', 'hostbased', 'none'] as const;

const hostKeys = {
  hostname: leaf(
    hostAddress,
    string,
    'Name or address to connect to. Without it, the entry is the ssh_config alias of its name.',
  ),
  user: leaf(value.user, string, 'Login name.'),
  port: leaf(value.port, portNumber, 'Port of the SSH server.'),
  identity: words('Key files, tried in order. A .pub selects a key of the agent.'),
  identities_only: flag('Offer only the keys of identity. True when identity is given.'),
  certificate: leaf(
    choice.certificate,
    {
      anyOf: [
        textOrList,
        {
          type: 'object',
          properties: { command: { type: 'array', items: string }, file: string, renew_before: durationText },
          required: ['command', 'file'],
          additionalProperties: false,
        },
      ],
    },
    'User certificate files; or { command: [program, argument], file: PATH, renew_before: 10m }: run before a login when the certificate is missing or ends within that time.',
  ),
  agent: leaf(
    choice.agent,
    { type: ['boolean', 'string'] },
    'true: SSH_AUTH_SOCK or IdentityAgent; false: none; or a socket path.',
  ),
  auth: leaf(
    value.listOf(value.oneOf(methods)),
    { type: ['string', 'array'], items: { enum: methods } },
    'Login methods, in order.',
  ),
  auth_retry: leaf(
    value.switched,
    { enum: ['on', 'off', true, false] },
    'Try a key that worked here before again, later, on its own.',
  ),
  attended: flag('Every login needs a person (true), or none does (false).'),
  password: secret('password'),
  passphrase: secret('passphrase of the key files'),
  totp: secret('seed of the one-time codes'),
  jump: leaf(hops, textOrList, 'Hosts to go through, nearest first.'),
  proxy_command: leaf(
    choice.proxyCommand,
    string,
    'A command whose input and output are the connection; %h %p and the other tokens of ssh_config.',
  ),
  proxy: leaf(
    proxy,
    { type: ['string', 'object'] },
    'socks5://HOST:PORT or http://HOST:PORT; a map of url and password for one with a password.',
  ),
  host_keys: leaf(
    value.oneOf(['ask', 'accept-new', 'strict']),
    { enum: ['ask', 'accept-new', 'strict'] },
    'What to do with an unknown host key.',
  ),
  host_key_alias: leaf(value.keyAlias, string, 'The name under which the host key is looked up and stored.'),
  known_hosts: words('Files of known host keys, read only, instead of ~/.ssh/known_hosts.'),
  keepalive: z
    .strictObject({
      interval: leaf(value.duration, durationText, 'Silence before a ping; 0s for none.'),
      count: leaf(
        value.countUpTo(100),
        { type: 'integer', minimum: 1 },
        'Unanswered pings before the link counts as dead.',
      ),
    })
    .meta({ description: 'How a dead server is noticed.' })
    .optional(),
  connect_timeout: leaf(
    value.duration,
    durationText,
    'Limit for each of TCP connect, first words and key exchange; 0s is none. Through a proxy command the first words have none unless this is written.',
  ),
  ciphers: algorithms('cipher', 'Ciphers'),
  kex: algorithms('kex', 'Key exchanges'),
  macs: algorithms('mac', 'MACs'),
  host_key_algorithms: algorithms('hostKey', 'Host key types'),
  pubkey_algorithms: algorithms('pubkey', 'Signature types for the login'),
  compression: flag('Compress what is sent.'),
  bind_address: leaf(value.word, string, 'Local address to connect from.'),
  address_family: leaf(
    value.oneOf(['any', 'inet', 'inet6']),
    { enum: ['any', 'inet', 'inet6'] },
    'IPv4 only, IPv6 only, or both.',
  ),
  ssh_config: leaf(
    choice.sshAlias,
    { type: ['string', 'boolean'] },
    'The ssh_config alias to start from; false for none.',
  ),
};

const forwardKeys = {
  type: leaf(
    value.oneOf(['local', 'remote', 'dynamic']),
    { enum: ['local', 'remote', 'dynamic'] },
    'local (-L), remote (-R) or dynamic (-D).',
  ),
  local: address('Here: PORT, HOST:PORT, "[V6]:PORT", a range (3000-3005), /path.sock or auto.'),
  remote: address('At the server: HOST:PORT, PORT, a range as long as the one here, or /path.sock.'),
  probe: leaf(
    probe,
    { type: ['string', 'object'] },
    'A check through the tunnel: tcp, a URL, postgres, redis or { greeting: REGEX }.',
  ),
  allow: leaf(
    value.listOf(targetGlob),
    textOrList,
    'Targets that a SOCKS client may reach: HOST:PORT, with * for any part.',
  ),
  protocol: leaf(value.oneOf(['ftp']), { enum: ['ftp'] }, 'ftp: follow the data connections of FTP.'),
};

const forwardSchema = z.strictObject({
  name: leaf(value.name, string, 'Its name in status and in variables.'),
  ...forwardKeys,
});

/** A map, or ssh's spelling. */
const forwardItem = z.any().transform((input, context): Forwarding | null => {
  if (input === undefined) return null; // taken out as faulty
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    const read = spelledForward(input);
    if ('value' in read) return read.value;
    context.issues.push({ code: 'custom', message: read.problem, input: null });
    return z.NEVER;
  }
  const read = forwardSchema.safeParse(input);
  if (read.success) return read.data;
  for (const issue of read.error.issues) context.issues.push({ ...issue, input: null } as never);
  return z.NEVER;
});

const tunnelKeys = {
  host: leaf(choice.hostWord, string, 'A name of hosts:, an ssh_config alias, or [user@]host[:port].'),
  ...forwardKeys,
  forwards: z
    .array(forwardItem)
    .meta({
      description: 'Several forwards over one connection: maps, or ssh\'s spelling "L 6379:cache:6379".',
    })
    .optional(),
  tags: leaf(value.listOf(value.name), textOrList, 'Names for tag:NAME.'),
  autostart: flag('Brought up by a bare `tunnel up`.'),
  lazy: flag('Connect only when somebody uses the port.'),
  idle_timeout: leaf(
    choice.idleTimeout,
    durationText,
    'Let the connection of a lazy tunnel go after that long without use; never.',
  ),
  hold: leaf(
    choice.hold,
    { type: 'string' },
    'How long a connection waits while the link is away; refuse closes the port instead.',
  ),
  reconnect: z
    .strictObject({
      initial: duration('Upper end of the first wait.'),
      max: duration('Longest wait.'),
    })
    .meta({ description: 'Waits between attempts.' })
    .optional(),
  rotate: leaf(
    choice.rotation,
    durationText,
    'Replace the session by a fresh one at that age; the old one drains. At least 1s.',
  ),
  env: leaf(
    value.variables,
    {
      type: 'object',
      propertyNames: { pattern: value.variablePattern.source },
      additionalProperties: { type: ['string', 'number', 'boolean'] },
    },
    'Variables for `tunnel env` and `exec`; {host} {port} {address} of the first local port are filled in.',
  ),
  open: leaf(
    choice.url,
    { type: 'string', pattern: choice.urlPattern.source },
    'What `tunnel open` opens, a URL with {host} {port} {address}.',
  ),
  ways: leaf(
    choice.ways,
    { type: 'array', items: textOrList },
    'Alternatives for jump, tried in order; direct for none.',
  ),
  socks_auth: z
    .strictObject({
      user: leaf(value.text, string, 'User name of the SOCKS server here.'),
      password: secret('SOCKS password'),
    })
    .meta({ description: 'Who may use a dynamic forward; needed beyond loopback.' })
    .optional(),
  share: flag('Share the connection with other tunnels to the same server.'),
  after: leaf(value.listOf(value.name), textOrList, 'Tunnels that must be up before this one.'),
  hooks,
};

const hostSchema = z.strictObject(hostKeys).meta({ description: 'An SSH server.' });
const tunnelSchema = z.strictObject({ ...hostKeys, ...tunnelKeys }).meta({ description: 'A tunnel.' });
export const fileSchema = z
  .strictObject({
    version: leaf(choice.version, { const: 1 }, 'Version of this format.'),
    defaults: tunnelSchema.optional(),
    hosts: z.record(z.string(), hostSchema).meta({ description: 'SSH servers by name.' }).optional(),
    tunnels: z.record(z.string(), tunnelSchema).meta({ description: 'Tunnels by name.' }).optional(),
    include: words('Further files of hosts and tunnels, relative to this one.'),
    metrics: leaf(
      choice.metrics,
      {
        anyOf: [
          addressText,
          {
            type: 'object',
            properties: { listen: addressText, page: boolean },
            required: ['listen'],
            additionalProperties: false,
          },
        ],
      },
      'Address of the metrics and health endpoint; with { listen: ADDRESS, page: true } the page too, on loopback only.',
    ),
    hooks,
    notify: flag('Desktop notifications when a tunnel needs a person.'),
  })
  .meta({ title: 'tunnels.yaml', description: 'SSH tunnels by name.' });

export type FileSettings = z.output<typeof fileSchema>;
export type HostSettings = z.output<typeof hostSchema>;
export type TunnelSettings = z.output<typeof tunnelSchema>;
/** One item of `forwards:`. */
export type Forwarding = z.output<typeof forwardSchema> | SpelledForward;

/** Every key that may stand at a place of the file, for "did you mean". */
export const knownKeys = {
  file: Object.keys(fileSchema.shape),
  host: Object.keys(hostKeys),
  tunnel: [...Object.keys(hostKeys), ...Object.keys(tunnelKeys)],
  forward: Object.keys(forwardSchema.shape),
} as const;

/** The JSON Schema of the file, for editors (`tunnel schema`): draft-07, which every version of yaml-language-server reads. */
export function configSchema(): Record<string, unknown> {
  const forward = z.toJSONSchema(forwardSchema, { io: 'input', target: 'draft-07' });
  delete forward.$schema;
  return z.toJSONSchema(fileSchema, {
    io: 'input',
    target: 'draft-07',
    override({ zodSchema, jsonSchema }) {
      if ((zodSchema as unknown) === forwardItem.in)
        jsonSchema.anyOf = [{ type: 'string', pattern: '^-?[LRD]' }, forward];
    },
  });
}

/** Its name beside a config that an editor opens. */
export const schemaFileName = 'tunnels.schema.json';

/** As yaml-language-server reads it; a relative path begins at the folder of the config. */
export const modeline = `# yaml-language-server: $schema=${schemaFileName}`;
