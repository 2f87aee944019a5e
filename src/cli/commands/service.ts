// `tunnel service`: a unit of systemd or an agent of launchd that runs the supervisor, written, looked at and taken away again.
import {
  lingers,
  order,
  refuseForeign,
  removeService,
  serviceOf,
  tell,
  writeService,
  type Service,
} from '../../client/service.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { ask, foundConfig, locateTarget } from '../../client/supervisor.ts';
import { shortPath } from '../../config/locate.ts';
import { unitCommand } from '../../control/stop-command.ts';
import { TunnelError } from '../../errors.ts';
import type { Context } from '../../client/context.ts';
import { usage, type CommandSpec, type Run } from '../command.ts';
import { shellWord } from '../../model/shell-word.ts';

export const spec: CommandSpec = {
  name: 'service',
  words: 'install|uninstall|status',
  takes: { least: 1, most: 1 },
  about: 'have the supervisor run from login on, or from boot on',
  more: [
    'On Linux a unit of systemd for you, or with --system one of the machine that runs as the owner of the',
    'config; on macOS an agent, or a daemon, of launchd. It brings up what has autostart, and restarts what',
    'crashed.',
    'tunnel up, down and status talk to the supervisor that it runs. One config has one supervisor: end one',
    'that an earlier tunnel up started, by tunnel down, before you install or start the service.',
    'Whatever you change by systemctl edit stays; install again after the program or node moved.',
  ],
  options: [
    { name: 'system', about: 'of the whole machine, from boot on; needs root, and the config by -c' },
    { name: 'print', about: 'install: show the file, write and start nothing' },
  ],
  examples: [
    ['tunnel service install', 'for you, from login on'],
    ['tunnel service install --print', 'what it would write'],
    ['sudo tunnel -c /home/me/.config/tunnel/tunnels.yaml service install --system', 'from boot on'],
    ['tunnel service status', ''],
  ],
};

export const run: Run = async (context, args) => {
  const [action = ''] = args.words;
  const system = args.flag('system');
  if (args.flag('print') && action !== 'install')
    throw usage('tunnel service takes --print only with install', { command: 'service install --print' });
  switch (action) {
    case 'install':
      return install(context, system, args.flag('print'));
    case 'uninstall':
      return uninstall(context, system);
    case 'status':
      return status(context, system);
    default:
      throw usage(`tunnel service takes install, uninstall or status, not ${shellWord(action)}`, {
        command: 'service --help',
      });
  }
};

async function install(context: Context, system: boolean, print: boolean): Promise<number> {
  if (print) {
    const { path } = foundConfig(context, locateTarget(context));
    const service = serviceOf(context, path, system);
    context.stdout.write(service.text);
    context.talk(`this would be ${shortPath(service.path, context.facts)}`);
    return 0;
  }
  const { path } = await readyConfig(context);
  const service = serviceOf(context, path, system);
  refuseForeign(service, context);
  const own = await runningUnit(context);
  if (own === 'another')
    throw new TunnelError('DAEMON_DOWN', 'a supervisor that no service runs serves this config already', {
      hint: { command: 'down', note: 'takes all its tunnels down; then give the command again' },
    });
  await tell(service, context, context.facts.platform === 'darwin' ? ['version'] : ['--version']); // before a file is written
  const written = await writeService(service, context);
  await start(context, service);
  const shown = shortPath(service.path, context.facts);
  context.out(
    written ? `wrote ${shown}, enabled and started` : `${shown} is as it should be, enabled and started`,
  );
  if (written && own !== null) context.talk(`what runs goes on as it is until: ${own}`);
  if (!system && (await lingers(context)) === false)
    context.talk('it ends when you log out; to have it run from boot on: loginctl enable-linger');
  context.talk(['next: ', { command: 'status' }]);
  return 0;
}

/** Null: none runs. `another`: one that no service manager runs. Else the command that restarts the unit. */
async function runningUnit(context: Context): Promise<string | null> {
  const status = await ask(locateTarget(context), 'status', { selectors: [] });
  const pid = status?.supervisor.pid ?? null;
  if (pid === null) return null;
  return unitCommand('restart', pid) ?? 'another';
}

async function start(context: Context, service: Service): Promise<void> {
  if (context.facts.platform === 'darwin') {
    await tell(service, context, ['bootout', `${domainOf(context, service)}/${service.name}`]); // an older one; there may be none
    await order(service, context, ['bootstrap', domainOf(context, service), service.path]);
    return;
  }
  await order(service, context, ['daemon-reload']);
  await order(service, context, ['enable', '--now', service.name]);
}

const domainOf = ({ facts }: Context, { system }: Service): string =>
  system ? 'system' : `gui/${facts.uid}`;

async function uninstall(context: Context, system: boolean): Promise<number> {
  const service = serviceOf(context, locateTarget(context).path, system);
  refuseForeign(service, context);
  const shown = shortPath(service.path, context.facts);
  if (service.state === 'absent') {
    context.out(`${shown} is not there: nothing to remove`);
    return 0;
  }
  const darwin = context.facts.platform === 'darwin';
  if (darwin) await tell(service, context, ['bootout', `${domainOf(context, service)}/${service.name}`]);
  else await order(service, context, ['disable', '--now', service.name]);
  removeService(service);
  if (!darwin) await order(service, context, ['daemon-reload']);
  context.out(`removed ${shown}; its supervisor has ended`);
  return 0;
}

const words: Readonly<Record<Service['state'], string>> = {
  absent: 'not installed',
  current: 'installed',
  stale: 'installed, and not as it would be written now: tunnel service install renews it',
  foreign: 'there, and not ours',
};

async function status(context: Context, system: boolean): Promise<number> {
  const service = serviceOf(context, locateTarget(context).path, system);
  const { name, path, state, lost } = service;
  const darwin = context.facts.platform === 'darwin';
  const managed = state === 'absent' ? null : await stateOf(context, service);
  if (context.options.json) {
    context.json({ name, path, state, lost, ...(managed ?? { enabled: null, active: null }) });
    return 0;
  }
  context.out(`${shortPath(path, context.facts)}: ${words[state]}`);
  for (const each of lost)
    context.out(`it names ${each}, which is gone; it runs the tunnel on its PATH instead`);
  if (managed !== null)
    context.out(darwin ? `launchctl: ${managed.active}` : `systemctl: ${managed.enabled}, ${managed.active}`);
  if (managed !== null && !system && (await lingers(context)) === false)
    context.talk('it ends when you log out; to have it run from boot on: loginctl enable-linger');
  return 0;
}

/** In the service manager's own words. */
async function stateOf(
  context: Context,
  service: Service,
): Promise<{ readonly enabled: string; readonly active: string }> {
  if (context.facts.platform === 'darwin') {
    const { ok } = await tell(service, context, ['print', `${domainOf(context, service)}/${service.name}`]);
    return { enabled: ok ? 'loaded' : 'not loaded', active: ok ? 'loaded' : 'not loaded' };
  }
  const enabled = await tell(service, context, ['is-enabled', service.name]);
  const active = await tell(service, context, ['is-active', service.name]);
  return { enabled: enabled.said, active: active.said };
}
