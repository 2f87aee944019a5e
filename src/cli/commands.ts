// The table of commands, in the order of --help. In its place the build puts the specs as data, so that nothing loads the code of
// a command for its spec (build.mjs).
import type { CommandSpec } from './command.ts';
import { spec as up } from './commands/up.ts';
import { spec as down } from './commands/down.ts';
import { spec as restart } from './commands/restart.ts';
import { spec as status } from './commands/status.ts';
import { spec as top } from './commands/top.ts';
import { spec as wait } from './commands/wait.ts';
import { spec as logs } from './commands/logs.ts';
import { spec as history } from './commands/history.ts';
import { spec as metrics } from './commands/metrics.ts';
import { spec as check } from './commands/check.ts';
import { spec as show } from './commands/show.ts';
import { spec as env } from './commands/env.ts';
import { spec as exec } from './commands/exec.ts';
import { spec as open } from './commands/open.ts';
import { spec as trust } from './commands/trust.ts';
import { spec as hosts } from './commands/hosts.ts';
import { spec as why } from './commands/why.ts';
import { spec as ports } from './commands/ports.ts';
import { spec as doctor } from './commands/doctor.ts';
import { spec as secret } from './commands/secret.ts';
import { spec as allow } from './commands/allow.ts';
import { spec as reload } from './commands/reload.ts';
import { spec as init } from './commands/init.ts';
import { spec as add } from './commands/add.ts';
import { spec as keep } from './commands/keep.ts';
import { spec as remove } from './commands/remove.ts';
import { spec as importing } from './commands/import.ts';
import { spec as service } from './commands/service.ts';
import { spec as schema } from './commands/schema.ts';
import { spec as completion } from './commands/completion.ts';
import { spec as demo } from './commands/demo.ts';

export const commands: readonly CommandSpec[] = [
  up,
  down,
  restart,
  status,
  top,
  wait,
  logs,
  history,
  metrics,
  check,
  show,
  env,
  exec,
  open,
  trust,
  hosts,
  why,
  ports,
  doctor,
  secret,
  allow,
  reload,
  init,
  add,
  keep,
  remove,
  importing,
  service,
  schema,
  completion,
  demo,
];
