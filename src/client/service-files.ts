// What a service manager is told to run a supervisor: a unit of systemd, or a property list of launchd. Pure.
import { join } from 'node:path';

export interface ServiceFacts {
  readonly platform: NodeJS.Platform;
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** [node, bin/tunnel.js], as this command was run. */
  readonly program: readonly string[];
  /** Absolute. */
  readonly config: string;
  /** What tells the services of several configs apart: '' for the usual one. */
  readonly id: string;
  /** Whose it is, of one for the whole machine; null for one of the user's own. */
  readonly user: string | null;
}

export interface ServiceFile {
  /** As systemctl and launchctl know it. */
  readonly name: string;
  readonly path: string;
  readonly text: string;
}

/** Told apart by it from files of somebody else. */
const mark = 'Written by tunnel service install';

export const isOurs = (text: string): boolean => text.includes(mark);

/** Null: no service manager that we know. */
export function serviceFile(facts: ServiceFacts): ServiceFile | null {
  if (facts.platform === 'linux') return unitFile(facts);
  return facts.platform === 'darwin' ? listFile(facts) : null;
}

/** Another shell has another PATH, which does not make a service outdated. */
export function sameService(one: string, other: string): boolean {
  const bare = (text: string): string =>
    text.replace(/^Environment="PATH=.*$/m, '').replace(/<key>PATH<\/key><string>[^<]*<\/string>/, '');
  return bare(one) === bare(other);
}

/** The program that a service file runs, as far as it can be found in it: node and the script. */
export function programIn(text: string): readonly string[] {
  const [, behind = ''] = text.split(/^ExecStart=.*?" tunnel |<string>tunnel<\/string>/m);
  const quoted = [...behind.matchAll(/"((?:\\.|[^"\\])*)"|<string>([^<]*)<\/string>/g)];
  return quoted.slice(0, 2).map(([, unit, list]) => (list === undefined ? ununit(unit ?? '') : unxml(list)));
}

/**
 * The same program as long as it is there; else the `tunnel` on the PATH: a version manager of node puts each version, and what
 * was installed with it, in a folder of its own.
 */
const start = 'if [ -x "$1" ] && [ -e "$2" ]; then exec "$@"; fi; shift 2; exec tunnel "$@"';

const argumentsOf = ({ program, config }: ServiceFacts): readonly string[] => [
  ...program,
  '--config',
  config,
  'up',
  '--foreground',
];

/** What decides where things are; the rest of a terminal's environment is not a service's. */
const kept = ['TUNNEL_HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME'];

function environmentOf({ env }: ServiceFacts): readonly (readonly [name: string, value: string])[] {
  const path = (env['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/'));
  const others = kept.flatMap((name) => {
    const value = env[name];
    return value?.startsWith('/') === true ? [[name, value] as const] : [];
  });
  return [['PATH', [...new Set([...path, '/usr/local/bin', '/usr/bin', '/bin'])].join(':')], ...others];
}

// systemd

/** A quoted word of a unit: C escapes, and % doubled (systemd.syntax(7), systemd.unit(5)). */
const unit = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`;
/** In a command line $ is doubled too (systemd.service(5)). */
const unitWord = (text: string): string => unit(text).replaceAll('$', '$$$$');
const ununit = (text: string): string =>
  text.replaceAll('$$', '$').replaceAll('%%', '%').replaceAll(/\\(.)/g, '$1');

function unitFile(facts: ServiceFacts): ServiceFile {
  const { home, env, user, id, config } = facts;
  const name = `tunnel${id === '' ? '' : `-${id}`}.service`;
  const configHome =
    env['XDG_CONFIG_HOME']?.startsWith('/') === true ? env['XDG_CONFIG_HOME'] : join(home, '.config');
  const folder = user === null ? join(configHome, 'systemd', 'user') : '/etc/systemd/system';
  const lines = [
    `# ${mark}, which renews it; tunnel service uninstall removes it. Changes of yours: systemctl edit.`,
    '[Unit]',
    `Description=SSH tunnels of ${config.replaceAll('%', '%%')}`,
    'Documentation=man:tunnel(1)',
    ...(user === null ? [] : ['Wants=network-online.target', 'After=network-online.target']),
    '',
    '[Service]',
    'Type=exec',
    ...(user === null ? [] : [`User=${user}`]),
    ...environmentOf(facts).map(([variable, value]) => `Environment=${unit(`${variable}=${value}`)}`),
    `ExecStart=/bin/sh -c ${unitWord(start)} tunnel ${argumentsOf(facts).map(unitWord).join(' ')}`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    'Restart=on-failure',
    'RestartSec=5s',
    '# Usage, config, another supervisor: the same would come of it again.',
    'RestartPreventExitStatus=2 3 4',
    'LimitNOFILE=65536',
    ...hardening,
    ...(user === null ? [] : systemHardening),
    '',
    '[Install]',
    `WantedBy=${user === null ? 'default.target' : 'multi-user.target'}`,
    '',
  ];
  return { name, path: join(folder, name), text: lines.join('\n') };
}

/** What a unit of a user may. No MemoryDenyWriteExecute: node compiles. No PrivateTmp: agents have their sockets there. */
const hardening = [
  '# A proxy command that needs sudo or a snap needs these off.',
  'NoNewPrivileges=yes',
  'RestrictSUIDSGID=yes',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'UMask=0077',
];

const systemHardening = [
  'ProtectSystem=full',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectClock=yes',
  'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
  'AmbientCapabilities=CAP_NET_BIND_SERVICE',
];

// launchd

const xml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const unxml = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
const text = (value: string): string => `<string>${xml(value)}</string>`;

function listFile(facts: ServiceFacts): ServiceFile {
  const { home, user, id } = facts;
  const name = `tunnelkeeper.tunnel${id === '' ? '' : `.${id}`}`;
  const folder = user === null ? join(home, 'Library', 'LaunchAgents') : '/Library/LaunchDaemons';
  const words = ['/bin/sh', '-c', start, 'tunnel', ...argumentsOf(facts)];
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    `<!-- ${mark}, which renews it; tunnel service uninstall removes it. -->`,
    '<plist version="1.0">',
    '<dict>',
    `  <key>Label</key>${text(name)}`,
    ...(user === null ? [] : [`  <key>UserName</key>${text(user)}`]),
    '  <key>ProgramArguments</key>',
    '  <array>',
    ...words.map((word) => `    ${text(word)}`),
    '  </array>',
    '  <key>EnvironmentVariables</key>',
    '  <dict>',
    ...environmentOf(facts).map(([variable, value]) => `    <key>${variable}</key>${text(value)}`),
    '  </dict>',
    '  <key>RunAtLoad</key><true/>',
    '  <key>KeepAlive</key>',
    '  <dict><key>SuccessfulExit</key><false/></dict>',
    '  <key>ThrottleInterval</key><integer>30</integer>',
    '  <key>ProcessType</key><string>Background</string>',
    '  <key>SoftResourceLimits</key>',
    '  <dict><key>NumberOfFiles</key><integer>65536</integer></dict>',
    '  <key>Umask</key><integer>63</integer>',
    ...(user === null
      ? [`  <key>StandardErrorPath</key>${text(join(home, 'Library', 'Logs', `${name}.log`))}`]
      : []),
    '</dict>',
    '</plist>',
    '',
  ];
  return { name, path: join(folder, `${name}.plist`), text: lines.join('\n') };
}
