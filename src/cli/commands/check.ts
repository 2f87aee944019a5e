// `tunnel check`: every fault of the config at once. Runs nothing, needs no consent and no supervisor.
import { formatIssue, type ConfigIssue } from '../../config/issue.ts';
import { editorSchemaProblem } from '../../config/editor-schema.ts';
import { checkConfig, type CheckedConfig } from '../../config/load.ts';
import { findConfig, shortPath } from '../../config/locate.ts';
import { TunnelError, asTunnelError } from '../../errors.ts';
import { namedConfig } from '../../paths.ts';
import { count } from '../../render/units.ts';
import { noWords, type CommandSpec, type Run } from '../command.ts';
import type { Context } from '../../client/context.ts';

export const spec: CommandSpec = {
  name: 'check',
  words: '',
  takes: noWords,
  about: 'find every fault of the config; exit 3 when there is one',
  options: [],
  examples: [
    ['tunnel check', ''],
    ['tunnel -c draft.yaml check --json', 'for editors and CI'],
  ],
};

export const run: Run = async (context) => {
  let path: string;
  let checked: CheckedConfig;
  try {
    ({ path } = findConfig(context.places, context.facts, context.options.config));
    checked = await checkConfig(path, context.facts);
  } catch (thrown) {
    if (context.options.json) missing(context, asTunnelError(thrown));
    throw thrown;
  }
  const { ok, config, issues } = checked;
  const shown = shortPath(path, context.facts);
  if (context.options.json) context.json({ ok, config: path, issues: issues.map(asJson) });
  else for (const issue of issues) context.out(formatIssue(issue));
  for (const warning of config?.warnings ?? []) context.talk(`warning: ${warning}`);
  const editor = editorSchemaProblem(path);
  if (editor !== null) context.talk(['warning: ', editor, '\nhint: ', { command: 'schema --write' }]);
  if (ok) {
    if (!context.options.json) context.out(`${shown}: ok, ${count(config?.tunnels.length ?? 0, 'tunnel')}`);
    return 0;
  }
  const hint = issues.find((issue) => issue.hint !== null)?.hint ?? null;
  context.complain({
    code: 'CONFIG_INVALID',
    message: `check failed, on ${shown}: ${count(issues.length, 'problem')}`,
    hint,
  });
  return 3;
};

const asJson = ({ file, line, column, path, message }: ConfigIssue): unknown => ({
  file,
  line,
  column,
  path,
  message,
});

/** `check --json` always prints its document (SPEC 4), also of a file that is not there. */
function missing(context: Context, error: TunnelError): void {
  const file = namedConfig(context.facts, context.options.config) ?? context.places.defaultConfig;
  const issue = { file, line: 1, column: 1, path: '', message: error.message };
  context.json({ ok: false, config: file, issues: [issue] });
}
