// `tunnel reload`: the supervisor reads its file again. Running connections stay.
import { noWords, type CommandSpec, type Run } from '../command.ts';
import type { Methods } from '../../control/protocol.ts';
import { formatMoment } from '../../render/units.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { ask, locateTarget, noSupervisor } from '../../client/supervisor.ts';

export const spec: CommandSpec = {
  name: 'reload',
  words: '',
  takes: noWords,
  about: 'read the config again; running connections stay',
  options: [{ name: 'prune', about: 'take down tunnels that are gone from the file' }],
  examples: [['tunnel reload --prune', '']],
};

export const run: Run = async (context, args) => {
  const target = locateTarget(context);
  if ((await ask(target, 'status', { selectors: [] })) === null) throw noSupervisor('reload');
  await readyConfig(context); // every problem with its place, which the supervisor's answer has no room for
  const result = await ask(target, 'reload', { prune: args.flag('prune') });
  if (result === null) throw noSupervisor('reload');
  if (context.options.json) context.json(result);
  else for (const change of result.changes) context.out(change);
  for (const warning of result.warnings) context.talk(`warning: ${warning}`);
  const told = result.applied ? null : unchanged(result, context.now());
  if (told !== null) context.talk(told);
  const page = result.page == null ? null : `the page is at ${result.page}`;
  if (page !== null && told?.includes(page) !== true) context.talk(page);
  return 0;
};

/** The watcher of the file mostly comes first: what it read is told. */
function unchanged({ inUse }: Methods['reload']['result'], now: number): string {
  if (inUse === undefined) return 'nothing changed';
  const at = `already read at ${formatMoment(inUse.since, now)}`;
  return inUse.changes.length === 0
    ? `nothing changed: ${at}, at the start of the supervisor`
    : `${at}: ${inUse.changes.join('; ')}`;
}
