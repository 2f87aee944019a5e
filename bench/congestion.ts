// A run with another congestion control than the machine's: in a network of its own, so that nothing else is touched.
// It decides the figures of loopback, too: bbr paces there with a timer for every packet, which costs both ends twice the work of cubic.
import { spawnSync } from 'node:child_process';

const insideOf = 'TUNNEL_BENCH_CONGESTION';
const [noLoopback, notLoaded, notAllowed] = [123, 124, 125];
const settle = `
ip link set lo up || exit ${noLoopback}
grep -qwFe "$0" /proc/sys/net/ipv4/tcp_available_congestion_control || exit ${notLoaded}
{ echo "$0" > /proc/sys/net/ipv4/tcp_congestion_control; } 2> /dev/null || exit ${notAllowed}
exec "$@"`;
const allowed = 'net.ipv4.tcp_allowed_congestion_control';

/** Makes this run once more, in such a network; returns its exit code. Null: this is that run. Needs root, `unshare` and `ip`. */
export function runWithCongestion(name: string): number | null {
  if (process.env[insideOf] === name) return null;
  if (!/^\w+$/.test(name))
    return failed(`it takes one name, as cubic, and was given ${JSON.stringify(name)}`);
  if (process.getuid?.() !== 0) return failed('it makes a network of its own, which only root may');
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status, error } = spawnSync('unshare', ['--net', 'sh', '-c', settle, name, ...again], {
    stdio: 'inherit',
    env: { ...process.env, [insideOf]: name },
  });
  if (error !== undefined) return failed(`unshare cannot be run: ${error.message}`);
  if (status === noLoopback) return failed('ip, of iproute2, could not bring up loopback there');
  if (status === notLoaded)
    return failed(
      `there is no ${name} here; sysctl net.ipv4.tcp_available_congestion_control tells what there is`,
    );
  // Linux lets networks but the first choose only what is allowed to everybody (tcp_set_default_congestion_control).
  if (status === notAllowed)
    return failed(
      `this machine does not allow ${name} in such a network yet\nhint: sysctl -w ${allowed}="$(sysctl -n ${allowed}) ${name}"    # until the next start of the machine`,
    );
  return status ?? 1;
}

function failed(why: string): number {
  console.error(`--congestion: ${why}`);
  return 2;
}
