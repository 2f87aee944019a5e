// The man pages, made from the table of commands and the definition of the config: tunnel(1) and tunnels.yaml(5). The build writes
// them into dist/man (build.mjs). Pure.
import { globalOptions, selectorHelp, type CommandSpec, type OptionSpec } from '../src/cli/command.ts';
import { commands } from '../src/cli/commands.ts';
import { configSchema } from '../src/config/schema.ts';
import { version } from '../src/model/version.ts';

/** By the file's name. */
export function manPages(): Readonly<Record<string, string>> {
  return { 'tunnel.1': tunnelPage(), 'tunnels.yaml.5': configPage() };
}

// roff, as groff_man(7) and mandoc's man(7) both read it.

const characters: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  '~': '\\(ti',
  '^': '\\(ha',
  '`': '\\(ga',
  "'": '\\(aq',
  '"': '\\(dq',
  '…': '...',
  '→': '\\(->',
};

/** Text of ours, to be shown as it is: a page is plain ASCII, and no line of text is taken for a macro. */
export const roff = (text: string): string =>
  text
    .replaceAll(/[\\~^`'"…→-]/g, (character) => characters[character] ?? character)
    .replaceAll(/[^\n -~]/gu, (character) => {
      const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
      return `\\[u${hex}]`;
    })
    .replaceAll(/^\./gm, '\\&.');

/** The same as lines of about 80 bytes at most, as mandoc wants them. */
const paragraph = (text: string): string =>
  roff(text)
    .replaceAll(/(.{1,66}\S*)(?: |$)/g, (_, line: string) => `${line}\n`)
    .trimEnd()
    .replaceAll(/^\./gm, '\\&.');

/** Lines of text, and macros between them. */
const prose = (lines: readonly string[]): readonly string[] =>
  lines.map((line) => (line.startsWith('.') ? line : paragraph(line)));

const bold = (text: string): string => `\\fB${roff(text)}\\fR`;
const italic = (text: string): string => `\\fI${roff(text)}\\fR`;
const section = (title: string, ...lines: readonly string[]): readonly string[] => [`.SH ${title}`, ...lines];
const tagged = (tag: string, ...text: readonly string[]): readonly string[] => ['.TP', tag, ...text];
const asTyped = (lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : ['.PP', '.RS 4', '.nf', ...lines.map(roff), '.fi', '.RE'];
const sentence = (text: string): string =>
  paragraph(`${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.:!?]$/.test(text) ? '' : '.'}`);

function page(name: string, manual: 1 | 5, body: readonly (readonly string[])[]): string {
  const head = `.TH "${roff(name.toUpperCase())}" "${manual}" "" "tunnel ${version}" "tunnel"`;
  const source =
    '.\\" Made by the build from the table of commands and the definition of the config: change those.';
  return `${[source, head, ...body.flat()].join('\n')}\n`;
}

// tunnel(1)

function tunnelPage(): string {
  return page('tunnel', 1, [
    section('NAME', 'tunnel \\- SSH tunnels from one YAML file that stay up'),
    section('SYNOPSIS', `.B tunnel`, `${italic('COMMAND')} [${italic('OPTIONS')}]`),
    section('DESCRIPTION', ...prose(introduction)),
    section('COMMANDS', paragraph(selectorHelp), ...commands.flatMap(commandPart)),
    section('OPTIONS FOR EVERY COMMAND', ...globalOptions.flatMap(optionPart)),
    section('EXIT STATUS', ...exits.flatMap(([code, meaning]) => tagged(bold(code), sentence(meaning)))),
    section('ENVIRONMENT', ...environment.flatMap(([name, about]) => tagged(bold(name), sentence(about)))),
    section('FILES', ...files.flatMap(([path, about]) => tagged(italic(path), sentence(about)))),
    section('SEE ALSO', '.BR tunnels.yaml (5),', '.BR ssh (1),', '.BR ssh_config (5),', '.BR sshd (8)'),
  ]);
}

const introduction: readonly string[] = [
  'Reaches firewalled services through SSH, from one file of named tunnels, and keeps reaching them.',
  'A supervisor in the background holds the SSH connections and connects again when one is lost.',
  'After',
  '.B tunnel up',
  'the local port is there until',
  '.BR "tunnel down" :',
  'clients that arrive while the link is away are held, and served when it is back.',
  '.PP',
  'The config is the file that',
  '.B \\-\\-config',
  'names, else',
  '.BR $TUNNEL_CONFIG ,',
  'else tunnels.yaml in',
  '.BR $TUNNEL_HOME .',
  'Where none of them is set it is ./tunnels.yaml, else ~/.config/tunnel/tunnels.yaml.',
  '.PP',
  'Results go to standard output, talk and errors to standard error.',
  'An error says what failed, on what and why, and a line that begins with',
  '.B hint:',
  'what to do about it.',
];

function commandPart(command: CommandSpec): readonly string[] {
  const { name, words, about, more = [], options, examples } = command;
  return [
    `.SS "tunnel ${roff(name)}${words === '' ? '' : ` ${roff(words)}`}"`,
    sentence(about),
    ...(more.length === 0 ? [] : [paragraph(more.join(' '))]),
    ...options.flatMap(optionPart),
    ...asTyped(examples.map(([line, said]) => (said === '' ? line : `${line}    # ${said}`))),
  ];
}

function optionPart({ name, alias, value, about, refusable }: OptionSpec): readonly string[] {
  const of = value === undefined ? '' : ` ${italic(value)}`;
  const short = alias === undefined ? '' : `${bold(`-${alias}`)}${of}, `;
  const refused = refusable === true ? `, ${bold(`--no-${name}`)}` : '';
  return tagged(`${short}${bold(`--${name}`)}${of}${refused}`, sentence(about));
}

const exits: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'done'],
  ['1', 'a bug of ours'],
  ['2', 'usage, no such tunnel'],
  ['3', 'config: missing, broken, not allowed'],
  ['4', 'supervisor: not running where it is needed, other protocol, could not start'],
  ['5', 'network, time-out'],
  ['6', 'identity: authentication refused, key unreadable, secret missing, agent down'],
  ['7', 'host key: unknown, changed, revoked'],
  ['8', 'forward: port in use, refused by the server'],
  ['9', 'not up (status --check, wait)'],
  ['130, 143', 'ended by a signal'],
];

const environment: readonly (readonly [name: string, about: string])[] = [
  ['TUNNEL_CONFIG', 'the config file to use, where --config names none'],
  ['TUNNEL_HOME', 'one folder for config, state and runtime'],
  ['XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR', 'where those are looked for otherwise'],
  ['SSH_AUTH_SOCK', 'the agent; that of the command that brings a tunnel up'],
  ['NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM', 'whether the output is coloured'],
];

const files: readonly (readonly [path: string, about: string])[] = [
  ['./tunnels.yaml', 'the config of a project, once it was allowed'],
  ['~/.config/tunnel/tunnels.yaml', 'your own config'],
  [
    '~/.local/state/tunnel/',
    'trusted host keys (known_hosts), what was allowed, and for each supervisor what is wanted, its log and history',
  ],
  ['$XDG_RUNTIME_DIR/tunnel/', 'control sockets; without it a folder tunnel-UID in the temporary folder'],
];

// tunnels.yaml(5)

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly examples?: readonly unknown[];
}

function configPage(): string {
  const schema = configSchema() as Schema;
  const { defaults: _defaults, hosts, tunnels, ...top } = schema.properties ?? {};
  const hostKeys = inMap(hosts);
  const tunnelKeys = inMap(tunnels);
  const forwardKeys =
    tunnelKeys['forwards']?.items?.anyOf?.find(({ properties }) => properties)?.properties ?? {};
  const own = Object.entries(tunnelKeys).filter(([key]) => !Object.hasOwn(hostKeys, key));
  return page('tunnels.yaml', 5, [
    section('NAME', 'tunnels.yaml \\- the config file of tunnel'),
    section('DESCRIPTION', ...prose(aboutFile)),
    section('EXAMPLE', '.nf', ...exampleFile.map(roff), '.fi'),
    section(
      'TOP LEVEL',
      ...tagged(bold('defaults'), 'Any key of a host or a tunnel, for all that do not set it themselves.'),
      ...tagged(bold('hosts'), paragraph(`${hosts?.description ?? ''} See HOSTS.`)),
      ...tagged(bold('tunnels'), paragraph(`${tunnels?.description ?? ''} See TUNNELS.`)),
      ...keyParts(Object.entries(top)),
    ),
    section('HOSTS', ...aboutHosts, ...keyParts(Object.entries(hostKeys))),
    section(
      'TUNNELS',
      'A tunnel takes each key of a host too, and there it counts before the host.',
      ...keyParts(own),
    ),
    section(
      'FORWARDS',
      'What an item of',
      '.B forwards',
      'takes that is a map:',
      ...keyParts(Object.entries(forwardKeys)),
    ),
    section('SEE ALSO', '.BR tunnel (1),', '.BR ssh_config (5)'),
  ]);
}

const inMap = (schema: Schema | undefined): Readonly<Record<string, Schema>> =>
  typeof schema?.additionalProperties === 'object' ? (schema.additionalProperties.properties ?? {}) : {};

const aboutFile: readonly string[] = [
  'YAML. It is looked for as',
  '.BR tunnel (1)',
  'says, must be owned by you or root, and not be writable by others.',
  'Durations have a unit: 250ms, 30s, 5m, 2h, 1d.',
  'Relative paths begin at the folder of the file, and ~ is your home.',
  '.B tunnel check',
  'tells every fault with its line,',
  '.B tunnel show',
  'what everything comes to, and',
  '.B tunnel schema',
  'prints the JSON Schema for editors.',
];

const exampleFile: readonly string[] = [
  'hosts:',
  '  katie: { hostname: katie.example.org, user: me }',
  'tunnels:',
  '  db:',
  '    host: katie',
  '    local: 5432',
  '    remote: db.internal:5432',
];

const aboutHosts: readonly string[] = [
  'What a host does not set comes from',
  '.BR defaults ,',
  'then from',
  '.BR ssh_config (5),',
  'then from what is built in.',
];

const keyParts = (keys: readonly (readonly [string, Schema])[]): readonly string[] =>
  keys.flatMap(([key, schema]) => [
    ...tagged(
      `${bold(key)}${formOf(schema)}`,
      ...(schema.description === undefined ? [] : [paragraph(schema.description)]),
    ),
    ...(schema.properties === undefined
      ? []
      : ['.RS', ...keyParts(Object.entries(schema.properties)), '.RE']),
  ]);

/** What a value looks like, in brackets; nothing where the description has to say it. */
function formOf({ type, enum: choices, const: only, minimum, maximum, examples, items }: Schema): string {
  const words = choices ?? (only === undefined ? items?.enum : [only]);
  if (words !== undefined) return ` (${words.map((word) => bold(String(word))).join(', ')})`;
  if (type === 'boolean') return ` (${bold('true')}, ${bold('false')})`;
  if (type === 'integer')
    return ` (${roff(`${minimum ?? 0}${maximum === undefined ? ' or more' : `-${maximum}`}`)})`;
  if (examples !== undefined) return ` (${examples.map((each) => roff(String(each))).join(', ')})`;
  return Array.isArray(type) && type.includes('array') ? ' (one or a list)' : '';
}
