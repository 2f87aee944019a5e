// npm run pictures -- [PICTURE …] [--to FOLDER] [--built]: takes the pictures in docs/pictures of the real program as it runs.
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { temporaryFolder } from '../test/helpers/folder.ts';
import { runScript } from '../test/helpers/script.ts';
import { openTerminal, tmuxMissing } from '../test/helpers/tmux.ts';
import { finished } from '../test/helpers/world.ts';
import { enter, record } from './terminal-recording.ts';
import { movingOf, stillOf, type Pace } from './terminal-svg.ts';

const root = resolve(import.meta.dirname, '..');

/** What is taken, and the files that come of it. */
export const pictures = {
  demo: ['demo.svg', 'demo-still.svg'],
  status: ['status.svg'],
  top: ['top.png', 'top-dark.png'],
  page: ['page.png', 'page-dark.png'],
} as const;
export type Picture = keyof typeof pictures;
const names = Object.keys(pictures) as Picture[];

const usage = `usage: npm run pictures -- [PICTURE …] [OPTION …]

Takes pictures of the program as it runs, on loopback alone. Without a name: all of them.

  demo     a recording of \`npm run demo\`, and its last screen; needs tmux
  status   \`tunnel status\` with tunnels in several states
  top      \`tunnel top\` with traffic
  page     the page of \`metrics: { page: true }\`, after two minutes of it

  --to FOLDER   where they go, instead of docs/pictures
  --built       the demo without its build, as \`tunnel demo\`

All but the demo are taken in namespaces of their own, so that names and ports are what they say: that takes Linux, root,
unshare, ip, tmux, sshd, PostgreSQL, curl and chromium.`;

interface Asked {
  readonly wanted: readonly Picture[];
  readonly folder: string;
  readonly built: boolean;
}

function read(argv: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { to: { type: 'string' }, built: { type: 'boolean', default: false } },
  });
  for (const name of positionals)
    if (!Object.hasOwn(pictures, name)) throw new RangeError(`there is no picture "${name}"`);
  const wanted = names.filter((name) => positionals.length === 0 || positionals.includes(name));
  return { wanted, folder: resolve(values.to ?? join(root, 'docs', 'pictures')), built: values.built };
}

async function run({ wanted, folder, built }: Asked): Promise<number> {
  const missing = tmuxMissing();
  if (missing !== null) {
    console.error(missing);
    return 1;
  }
  const own = temporaryFolder('pictures');
  process.env['TUNNEL_TEST_ROOT'] = own;
  mkdirSync(folder, { recursive: true });
  try {
    if (wanted.includes('demo')) await demo({ own, folder, built });
    const others = wanted.filter((name) => name !== 'demo');
    return others.length === 0 ? 0 : await insideNamespaces(own, folder, others);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

const size = { columns: 100, rows: 30 };
const pace: Pace = { leastMsALine: 220, mostMs: 2500, lastMs: 6000 };

interface Place {
  readonly own: string;
  readonly folder: string;
  readonly built: boolean;
}

/** The demo, as somebody runs it who has just cloned this. Its last screen is for who wants no motion: a browser may not tell an image. */
async function demo({ own, folder, built }: Place): Promise<void> {
  const line = built ? 'tunnel demo' : 'npm run demo';
  const home = join(own, 'home');
  const bin = join(own, 'bin');
  for (const path of [home, bin]) mkdirSync(path, { mode: 0o700 });
  symlinkSync(join(root, 'bin', 'tunnel.js'), join(bin, 'tunnel'));
  using terminal = openTerminal(
    {
      PATH: [bin, process.env['PATH'] ?? ''].join(delimiter),
      HOME: home,
      LANG: 'C.UTF-8',
      TMPDIR: '/tmp', // it is on the picture
      npm_config_update_notifier: 'false',
    },
    size,
  );
  await terminal.until(/^\$/m);
  const shots = await record(terminal, async () => {
    await enter(terminal, line);
    await terminal.until(/^Trust it\?.*: ?$/m);
    await pause(pace.mostMs); // somebody compares the two
    await enter(terminal, 'yes');
    await terminal.until(/nothing of it is left\.\n\n?\$$/);
  });
  const title = `${line}, recorded in a terminal`;
  const [moving, still] = pictures.demo;
  writeFileSync(join(folder, moving), movingOf(shots, { size, title, pace }));
  writeFileSync(
    join(folder, still),
    stillOf(shots.at(-1) ?? { atMs: 0, ...terminal.painted() }, { size, title }),
  );
}

/** Runs pictured-world.ts where nobody else is: names, addresses, ports and processes are its own, and end with it. */
async function insideNamespaces(own: string, folder: string, wanted: readonly Picture[]): Promise<number> {
  const { etcHosts, etcPasswd } = await import('./pictured-world.ts');
  // `me` lives in /home, unless that hides this program
  const homes = [root, process.execPath].some((path) => path.startsWith('/home/')) ? '/mnt' : '/home';
  const home = join(homes, 'me');
  mkdirSync(join(own, 'homes', 'me'), { recursive: true });
  writeFileSync(join(own, 'hosts'), etcHosts, { mode: 0o644 });
  writeFileSync(join(own, 'passwd'), etcPasswd(home), { mode: 0o644 });
  chmodSync(own, 0o711); // the database's account looks at nothing but its own
  const commands = [
    `mount --bind ${join(own, 'hosts')} /etc/hosts`,
    `mount --bind ${join(own, 'passwd')} /etc/passwd`,
    `mount --bind ${join(own, 'homes')} ${homes}`,
    'ip link set lo up',
    'hostname laptop',
    'exec "$@"',
  ];
  const unshare = '--mount --net --pid --uts --fork --kill-child --mount-proc'.split(' ');
  const shell = ['sh', '-c', commands.join(' && '), 'sh'];
  const script = join(root, 'docs', 'pictured-world.ts');
  const program = [process.execPath, '--import', 'tsx', script, home, folder, ...wanted];
  const { code, stderr } = await finished(
    spawn('unshare', [...unshare, ...shell, ...program], { cwd: root, env: { ...process.env, TMPDIR: own } }),
  );
  if (code !== 0) console.error(stderr);
  return code ?? 1;
}

if (import.meta.filename === process.argv[1]) await runScript({ usage, read, run });
