// What the pictures of `status`, `top` and the page are taken of: a supervisor, four real sshd, a database, a web server, their
// clients, and outages that happen. It is run by pictures.ts in namespaces of its own, and ends with them.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Locator, Page } from 'playwright-core';
import { startBrowser } from '../test/helpers/browser.ts';
import { postgresFolder, startPostgres } from '../test/helpers/postgres.ts';
import { makeKey, startSshd, type Sshd } from '../test/helpers/sshd.ts';
import { openTerminal, type Terminal } from '../test/helpers/tmux.ts';
import { built, createWorld, type World } from '../test/helpers/world.ts';
import { smallPng, type Pixels } from './small-png.ts';
import { enter } from './terminal-recording.ts';
import { stillOf, type Size } from './terminal-svg.ts';

/** Names as in examples (RFC 2606), each with an address of its own. */
const addresses = {
  'bastion.example.org': '127.0.0.11',
  'katie.example.org': '127.0.0.12',
  'tom.example.org': '127.0.0.13',
  'nas.example.org': '127.0.0.14',
  'wiki.internal': '127.0.0.21',
  'db.internal': '127.0.0.1',
} as const;
type Name = keyof typeof addresses;

/** /etc/hosts inside. */
export const etcHosts = [
  '127.0.0.1 localhost',
  ...Object.entries(addresses).map((pair) => pair.reverse().join(' ')),
]
  .map((line) => `${line}\n`)
  .join('');

/** /etc/passwd inside: whoever logs in is called `me`. */
export const etcPasswd = (home: string): string =>
  `me:x:0:0::${home}:/bin/sh\n${readFileSync('/etc/passwd', 'utf8')}`;

type Server = 'bastion' | 'katie' | 'tom' | 'nas';

const nameOf = (server: Server): Name => `${server}.example.org`;

const hostLine = (server: Server, more = ''): string =>
  `  ${server}: { hostname: ${nameOf(server)}, user: me, identity: [~/.ssh/id_ed25519], agent: false${more} }`;

const configText = `
metrics: { listen: 127.0.0.1:9464, page: true }
hosts:
${hostLine('bastion')}
${hostLine('katie', ', jump: [bastion]')}
${hostLine('tom')}
${hostLine('nas')}
tunnels:
  db: { host: katie, local: 15432, remote: db.internal:5432, probe: postgres, tags: [work] }
  wiki: { host: bastion, local: 8080, remote: wiki.internal:80, open: 'http://{address}/', tags: [work] }
  web: { host: bastion, type: dynamic, local: 1080 }
  grafana: { host: tom, local: 3000, remote: grafana.internal:3000, open: 'http://{address}/' }
  backup: { host: nas, local: 8730, remote: 873 }
  reports: { host: katie, local: 8090, remote: 'reports.internal:80', autostart: false }
`;

type Servers = Readonly<Record<Server, Sshd>>;

/** All let in whoever has the key of this home. */
async function startServers(home: string): Promise<Servers> {
  mkdirSync(join(home, '.ssh'), { mode: 0o700 });
  const key = makeKey(join(home, '.ssh', 'id_ed25519'));
  const start = async (server: Server): Promise<Sshd> => {
    const sshd = await startSshd({ address: addresses[nameOf(server)], port: 22 });
    copyFileSync(`${key}.pub`, sshd.authorizedKeys);
    return sshd;
  };
  return {
    bastion: await start('bastion'),
    katie: await start('katie'),
    tom: await start('tom'),
    nas: await start('nas'),
  };
}

const tickMs = 100;

/** A web server that gives so many kilobytes at so many a second: /SIZE/RATE. */
async function startWiki(): Promise<void> {
  const server = createServer((request, response) => {
    const [size = 1, rate = 1] = (request.url ?? '').split('/').slice(1).map(Number);
    const chunk = Buffer.alloc(rate * tickMs, 'wiki ');
    let left = Math.ceil((size * 1000) / chunk.length);
    const timer = setInterval(() => {
      response.write(chunk);
      left -= 1;
      if (left <= 0) response.end();
    }, tickMs);
    response.once('close', () => clearInterval(timer));
  });
  await new Promise<void>((done) => server.listen(80, addresses['wiki.internal'], done));
}

async function startDatabase(env: NodeJS.ProcessEnv): Promise<void> {
  if (postgresFolder === undefined) throw new Error('PostgreSQL is not installed');
  startPostgres(postgresFolder, 5432);
  for (let tries = 0; ; tries += 1) {
    try {
      const argv = ['-i', '-q', '-s', '1', '-h', '127.0.0.1', '-U', 'postgres', 'postgres'];
      execFileSync('pgbench', argv, { env, stdio: 'pipe' });
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await pause(200);
    }
  }
}

/** Programs that come, do something for some seconds, and come again; each round by its number. */
const clients: readonly ((round: number) => string)[] = [
  (round) =>
    `pgbench -n -S -c 4 -R ${[200, 600, 350, 900][round % 4]} -T ${15 + (round % 3) * 4} -h 127.0.0.1 -p 15432 -U postgres postgres`,
  () => `psql -q -h 127.0.0.1 -p 15432 -U postgres postgres <<'.'\nselect repeat('x', 9000)\n\\watch 1\n.\n`,
  (round) => `curl -s http://127.0.0.1:8080/${[9000, 4000, 6000][round % 3]}/${[400, 900, 250][round % 3]}`,
  (round) =>
    `curl -s --proxy socks5h://127.0.0.1:1080 http://wiki.internal/${[600, 300][round % 2]}/${[60, 25][round % 2]}`,
];

/** Until the signal. */
function startClients(env: NodeJS.ProcessEnv, signal: AbortSignal): void {
  for (const line of clients) void keepRunning(line, env, signal);
}

async function keepRunning(
  line: (round: number) => string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  for (let round = 0; !signal.aborted; round += 1) {
    const child: ChildProcess = spawn('sh', ['-c', `exec >/dev/null; exec ${line(round)}`], {
      env,
      stdio: 'ignore',
      signal,
    });
    child.on('error', () => undefined); // the signal, which ends it
    await new Promise((resolve) => child.once('close', resolve));
    await pause(1500);
  }
}

/** The world as it is on each picture: three are up, one is away, one needs somebody, one is not wanted. */
async function bringAbout(world: World, { tom, nas }: Servers): Promise<void> {
  await world.run(['up', '--accept-new']);
  await nas.stop();
  nas.changeHostKey();
  await nas.start();
  await tom.stop();
  await world.until('backup', ({ state }) => state === 'needs-you');
  await world.until('grafana', ({ state }) => state === 'retrying');
  for (const name of ['db', 'wiki', 'web']) await world.until(name, ({ state }) => state === 'up');
}

const topSize: Size = { columns: 100, rows: 30 };
const statusSize: Size = { columns: 106, rows: 21 };

async function statusPicture(folder: string, terminal: Terminal): Promise<void> {
  await enter(terminal, 'tunnel status');
  await terminal.until(/\n\$$/);
  const svg = stillOf({ atMs: 0, ...terminal.painted() }, { size: statusSize, title: 'tunnel status' });
  writeFileSync(join(folder, 'status.svg'), svg);
}

/** Half a minute of `top`, with the cursor on a tunnel that is used. */
async function topPicture(folder: string, terminal: Terminal): Promise<void> {
  await enter(terminal, 'tunnel top');
  await terminal.until(/^> /m);
  for (let tries = 0; !/^> db /m.test(terminal.screen()) && tries < 10; tries += 1) {
    terminal.key('Down');
    await pause(200);
  }
  await pause(30_000);
  const seen = await terminal.until(/pgbench +\d+ +\S+ +[3-9]s/);
  const painted = terminal.painted();
  terminal.key('q');
  if (!seen.includes('> db')) throw new Error(`db was not chosen:\n${seen}`);
  const svg = stillOf({ atMs: 0, ...painted }, { size: topSize, title: 'tunnel top' });
  await photograph(join(folder, 'top'), async (page) => {
    await page.setContent(`<style>${stage}</style>${svg}`);
    return page.locator('svg').first();
  });
}

/** Round corners are of the paper that pictures are shown on. */
const stage =
  'body { margin: 0 } svg { display: block } @media (prefers-color-scheme: dark) { body { background: #0d1117 } }';

/** PATH.png and PATH-dark.png of a page from its upper left corner on: as far as the end of what `show` answers. */
async function photograph(path: string, show: (page: Page) => Promise<Locator>, belowPx = 0): Promise<void> {
  const browser = await startBrowser();
  try {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await browser.newPage({ viewport: { width: 868, height: 1200 }, colorScheme });
      const last = await (await show(page)).boundingBox();
      if (last === null) throw new Error(`there is nothing to see for ${path}`);
      const clip = { x: 0, y: 0, width: 868, height: Math.ceil(last.y + last.height + belowPx) };
      const shot = (await page.screenshot({ clip })).toString('base64');
      writeFileSync(
        `${path}${colorScheme === 'dark' ? '-dark' : ''}.png`,
        smallPng(await pixelsOf(page, shot)),
      );
      await page.close();
    }
  } finally {
    await browser.close();
  }
}

/** The browser reads what it wrote. */
async function pixelsOf(page: Page, png: string): Promise<Pixels> {
  const read = `(async () => {
    const image = new Image();
    image.src = 'data:image/png;base64,${png}';
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const paper = canvas.getContext('2d');
    paper.drawImage(image, 0, 0);
    const { data, width, height } = paper.getImageData(0, 0, image.width, image.height);
    let text = '';
    for (const byte of data) text += String.fromCharCode(byte);
    return { width, height, text: btoa(text) };
  })()`;
  await page.goto('about:blank'); // the page's own policy lets no image in
  const { width, height, text } = await page.evaluate<{ width: number; height: number; text: string }>(read);
  return { width, height, rgba: Buffer.from(text, 'base64') };
}

/** What needs somebody, what is away and what is up, one of each: the page goes on below. */
async function pagePicture(folder: string): Promise<void> {
  await photograph(
    join(folder, 'page'),
    async (page) => {
      await page.goto('http://127.0.0.1:9464/');
      const db = page.getByRole('listitem', { name: 'db' }).first();
      await db.getByText('up', { exact: true }).waitFor();
      return db;
    },
    12,
  );
}

interface Asked {
  readonly home: string;
  readonly folder: string;
  readonly wanted: readonly string[];
}

/** A home as everybody has one. Answers the environment of somebody who has installed `tunnel`. */
function settle({ env, folder }: World, home: string): Record<string, string> {
  const [bin, config] = [join(folder, 'bin'), join(home, '.config', 'tunnel')];
  for (const path of [bin, config]) mkdirSync(path, { recursive: true, mode: 0o700 });
  symlinkSync(built, join(bin, 'tunnel'));
  writeFileSync(join(config, 'tunnels.yaml'), configText, { mode: 0o600 });
  delete env['TUNNEL_HOME'];
  env['HOME'] = home;
  env['PATH'] = [bin, env['PATH']].join(delimiter);
  return env;
}

async function takeAll({ home, folder, wanted }: Asked): Promise<void> {
  await using world = createWorld();
  const env = settle(world, home);
  const all = await startServers(home);
  await startWiki();
  await startDatabase(env);
  await bringAbout(world, all);
  const over = new AbortController();
  startClients(env, over.signal);
  await pause(20_000);
  await all.bastion.stop(); // what ran ends, who comes is held
  await pause(9_000);
  await all.bastion.start();
  await world.until('db', ({ state }) => state === 'up');
  if (wanted.includes('top')) {
    using terminal = openTerminal(env, topSize);
    await topPicture(folder, terminal);
  }
  if (wanted.includes('page')) {
    await pause(60_000);
    await pagePicture(folder);
  }
  if (wanted.includes('status')) {
    using terminal = openTerminal(env, statusSize);
    await statusPicture(folder, terminal);
  }
  over.abort();
}

if (import.meta.filename === process.argv[1]) {
  const [home = '', folder = '', ...wanted] = process.argv.slice(2);
  await takeAll({ home, folder, wanted });
  process.exit(0); // servers and all: the namespaces end with this process
}
