// `tunnel remove NAME…`: takes tunnels down and out of the file. Comments and order of all else stay.
import type { Context } from '../../client/context.ts';
import { removeTunnel } from '../../config/edit.ts';
import { declaredText } from '../../config/load.ts';
import { TunnelError } from '../../errors.ts';
import type { CommandSpec, Run } from '../command.ts';
import { configToEdit, problemWith, writeConfig, type EditedConfig } from '../edited-config.ts';
import { takeDown } from './down.ts';

export const spec: CommandSpec = {
  name: 'remove',
  words: 'NAME…',
  takes: { least: 1 },
  about: 'take tunnels down and out of the file',
  options: [],
  examples: [['tunnel remove db', 'down, and its lines are gone from the file']],
};

export const run: Run = async (context, args) => {
  const config = configToEdit(context);
  const names = [...new Set(args.words)];
  if (config.isNew)
    throw new TunnelError('CONFIG_MISSING', `no config, looked at ${config.shown}`, {
      hint: { command: 'init' },
    });
  const text = names.reduce((before, name) => removeTunnel(before, name), config.text);
  const problem = await problemWith(context, config, text);
  if (problem !== null && !(await mayStay(context, config, names)))
    throw new TunnelError(
      'CONFIG_INVALID',
      `cannot remove ${names.join(', ')}, on ${config.shown}: ${problem}`,
      { hint: { command: 'check', note: 'nothing is written: mend what needs it first' } },
    );
  const { json } = context.options;
  await takeDown(context, { selectors: names, drainMs: 0, report: json ? 'nothing' : 'lines' });
  await writeConfig(context, config, text);
  if (json) context.json({ config: config.path, removed: names });
  else context.out(`removed from ${config.shown}: ${names.join(', ')}`);
  return 0;
};

/** A fault that was there before is not this command's, and the last tunnel may go: the file waits for others. */
async function mayStay(context: Context, config: EditedConfig, names: readonly string[]): Promise<boolean> {
  if ((await problemWith(context, config, config.text)) !== null) return true;
  const { tunnels } = declaredText(config.path, config.text, context.facts);
  return [...tunnels.keys()].every((name) => names.includes(name));
}
