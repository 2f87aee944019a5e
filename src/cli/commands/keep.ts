// `tunnel keep NAME`: writes an ad-hoc tunnel into the file, where it stays. Comments and order of all else stay; nothing that runs is touched.
import { ask, locateTarget } from '../../client/supervisor.ts';
import { adhocTag, forgetAdhoc, readAdhoc } from '../../config/adhoc.ts';
import { addTunnel, namesIn, type NewTunnel } from '../../config/edit.ts';
import { placesOfConfig } from '../../config/locate.ts';
import { nearest } from '../../config/nearest.ts';
import { TunnelError } from '../../errors.ts';
import { listNames } from '../../render/error.ts';
import type { CommandSpec, Run } from '../command.ts';
import { configToEdit, problemWith, writeConfig, type EditedConfig } from '../edited-config.ts';

export const spec: CommandSpec = {
  name: 'keep',
  words: 'NAME',
  takes: { least: 1, most: 1 },
  about: 'write a tunnel that `up -L …` made into the file',
  more: [
    'It stays as it is, up or not, and is a tunnel of the file from then on: a bare `tunnel up` means it too.',
  ],
  options: [],
  examples: [['tunnel keep db-5432', 'after tunnel up -L 5432:db:5432 me@bastion']],
};

export const run: Run = async (context, args) => {
  const [name = ''] = args.words;
  const { facts } = context;
  const config = configToEdit(context);
  const { adhoc } = placesOfConfig(config.path, facts);
  const tunnels = readAdhoc(adhoc, facts);
  const found = Object.hasOwn(tunnels, name) ? tunnels[name] : undefined;
  if (found === undefined) throw noneNamed(name, Object.keys(tunnels), config);
  const tunnel = asWritten(found);
  const text = addTunnel(config.text, name, tunnel);
  const problem = await problemWith(context, config, text);
  if (problem !== null)
    throw new TunnelError('CONFIG_INVALID', `cannot keep ${name}, on ${config.shown}: ${problem}`, {
      hint: { command: 'check', note: 'nothing is written; is the fault there already?' },
    });
  await writeConfig(context, config, text);
  await forgetAdhoc(adhoc, facts, [name]);
  // The supervisor sees the file change by itself, a little later; what it cannot use it says in `status`.
  await ask(locateTarget(context), 'reload', { prune: false }).catch(() => null);
  if (context.options.json) context.json({ config: config.path, kept: [{ name, ...tunnel }] });
  else context.out(`${config.isNew ? 'wrote' : 'added to'} ${config.shown}: ${name}`);
  return 0;
};

/** Without the marks of an ad-hoc tunnel. */
function asWritten({ tags, autostart, ...tunnel }: NewTunnel): NewTunnel {
  void autostart;
  const others = (tags as readonly string[]).filter((tag) => tag !== adhocTag);
  return others.length === 0 ? tunnel : { ...tunnel, tags: others };
}

function noneNamed(name: string, known: readonly string[], { shown, text }: EditedConfig): TunnelError {
  if (namesIn(text).includes(name))
    return new TunnelError(
      'NO_SUCH_TUNNEL',
      `${name} is in ${shown} already, and no ad-hoc tunnel has that name`,
      {
        hint: { command: 'show', on: { tunnel: name } },
      },
    );
  const near = nearest(name, known);
  return new TunnelError('NO_SUCH_TUNNEL', `no ad-hoc tunnel is named ${name}`, {
    hint:
      near === null
        ? {
            command: 'status',
            note: known.length === 0 ? 'no tunnel of it is ad-hoc' : `ad-hoc: ${listNames(known)}`,
          }
        : { meant: near, insteadOf: name },
  });
}
