#!/usr/bin/env bash
# Makes a cluster of N nodes on this machine and runs an MPI program across them, over TCP. Needs root.
#   launch/local-cluster.sh N [OPTION …] -- COMMAND …
#   launch/local-cluster.sh 2 --slots 2 --rate 400mbit -- .build/release/hadal train configs/quickstart.yaml
# Options:
#   --slots K        ranks on each node                                         default: 1
#   --rate RATE      of each node's link, in each direction, as tc writes it    default: 400mbit; none: no limit
#   --delay TIME     one way, added to what a node sends, as tc writes it       default: none
#   --bind cores|none  cores: this machine's cores are shared out to the ranks  default: cores
#   --share PERCENT|none  of one core, the most that a rank uses (a control group each): where ranks share cores,
#                    one then waits as on a core of its own, and no other computes faster meanwhile   default: none
#   --mca NAME VALUE   a parameter of Open MPI; may be repeated
#   --max-restarts K   as launch/mpirun.sh has it                             default: 0
#   --report         at the end, the bytes that each node has sent and received, on standard error
# Each node is a namespace of its own for network, host name (node1 …), shared memory and mounts; links are veth pairs
# to a bridge. All of it, the bridge too, lies in namespaces that only this run's processes hold: nothing of the
# machine's own network changes, two clusters do not meet, and whatever ends the run, kill -9 included, the kernel
# removes everything but an empty control group, which the next run removes. Files, processors and memory are the
# machine's. Signals and exit code: as launch/mpirun.sh.
set -euo pipefail
export LC_ALL=C

fail() {
  printf 'local-cluster.sh: %s\n' "$@" >&2
  exit 2
}
self=$(realpath "${BASH_SOURCE[0]}")
here=$(dirname "$self")

# --- Roles inside the cluster ----------------------------------------------------------------------------------------

# Runs a command on a node, found by its first process; in the directory of here, as entering mounts leads to the root.
on_node() { # NODE COMMAND…
  local node=${1#node}
  shift
  exec nsenter --target "${CLUSTER_NODES[node - 1]}" --net --uts --ipc --mount -- env --chdir="$PWD" "$@"
}

# The remote shell of Open MPI: HOST, then words for a shell there. It goes over no link, but only where there is one.
if [ "${1:-}" = @agent ]; then
  shift
  read -ra CLUSTER_NODES <<<"$HADAL_CLUSTER_NODES"
  host=$1
  shift
  nsenter --target 1 --net ip -oneline link show "port${host#node}" 2>/dev/null | grep -q LOWER_UP || {
    echo "local-cluster.sh: $host cannot be reached: its link is gone" >&2
    exit 255
  }
  on_node "$host" sh -c "$*"
fi

# A rank: of all cores it takes its share, by its number in the cluster; with more ranks than cores, one, shared.
if [ "${1:-}" = @rank ]; then
  shift
  node=$(hostname)
  number=$(((${node#node} - 1) * HADAL_CLUSTER_SLOTS + OMPI_COMM_WORLD_LOCAL_RANK))
  ranks=$((HADAL_CLUSTER_COUNT * HADAL_CLUSTER_SLOTS))
  read -ra cores <<<"$HADAL_CLUSTER_CORES"
  mine=("${cores[@]:number * ${#cores[@]} / ranks:${#cores[@]} / ranks}")
  [ ${#mine[@]} -gt 0 ] || mine=("${cores[number % ${#cores[@]}]}")
  if [ "$HADAL_CLUSTER_SHARE" != none ]; then
    # A quota as short as Linux allows: with what it has left of a longer one, a rank that has waited would compute at
    # full speed. Time is charged at ticks, so a turn may be longer; the next ones pay it back.
    group=$HADAL_CLUSTER_GROUP/rank$number quota=1000 period=$((100000 / HADAL_CLUSTER_SHARE))
    mkdir -p "$group"
    if [ -e "$group/cpu.max" ]; then
      echo "$quota $period" >"$group/cpu.max"
    else
      echo $period >"$group/cpu.cfs_period_us"
      echo $quota >"$group/cpu.cfs_quota_us"
    fi
    echo $$ >"$group/cgroup.procs"
  fi
  exec taskset -c "$(IFS=, && echo "${mine[*]}")" "$@"
fi

# --- Options ---------------------------------------------------------------------------------------------------------

if [ "${1:-}" = @inside ]; then
  inside=yes
  shift
else
  inside=no
fi
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$self"
    exit 0
    ;;
esac
count=${1:-}
[[ $count =~ ^[1-9][0-9]?$ ]] || fail "the first argument is the number of nodes, 1 to 99, not '$count' (see --help)"
arguments=("$@")
shift
slots=1 rate=400mbit delay=none bind=cores share=none report=no restarts=()
mca=()
while [ $# -gt 0 ]; do
  case $1 in
    --slots | --rate | --delay | --bind | --share | --max-restarts) [ $# -ge 2 ] || fail "$1 needs a value" ;;
  esac
  case $1 in
    --slots) slots=$2; shift ;;
    --rate) rate=$2; shift ;;
    --delay) delay=$2; shift ;;
    --bind) bind=$2; shift ;;
    --share) share=$2; shift ;;
    --max-restarts) restarts=(--max-restarts "$2"); shift ;;
    --mca)
      [ $# -ge 3 ] || fail "--mca needs a name and a value"
      mca+=(--mca "$2" "$3"); shift 2
      ;;
    --report) report=yes ;;
    --)
      shift
      [ $# -gt 0 ] || fail "after -- there must be a command"
      break
      ;;
    -*) fail "there is no option $1 (see --help)" ;;
    *) fail "'$1': a command comes after --" ;;
  esac
  shift
done
[[ $slots =~ ^[1-9][0-9]?$ ]] || fail "--slots must be a number, 1 to 99, not '$slots'"
[[ $rate =~ ^(none|[1-9][0-9]*[kmg]bit)$ ]] || fail "--rate must be like 400mbit or 10gbit, or none, not '$rate'"
[[ $delay =~ ^(none|[0-9]+(\.[0-9]+)?(us|ms))$ ]] || fail "--delay must be like 50us or 2ms, or none, not '$delay'"
[[ $bind =~ ^(cores|none)$ ]] || fail "--bind must be cores or none, not '$bind'"
[[ $share =~ ^(none|[1-9][0-9]?|100)$ ]] || fail "--share must be a percentage, 1 to 100, or none, not '$share'"
[ "$share" = none ] || [ "$bind" = cores ] || fail "--share needs --bind cores"
[ $# -gt 0 ] || fail "what is to run? For instance: launch/local-cluster.sh 2 -- hostname"
program=$1
shift
[[ $program == */* ]] || command -v "$program" >/dev/null || fail "$program is not on PATH"
[[ $program != */* ]] || [ -x "$program" ] || fail "$program is no program that can be run here"
[[ $program != */* ]] || program=$(realpath "$program")

# --- Signals go from process to process, to launch/mpirun.sh ---------------------------------------------------------

signals=0 job='' code=0
# shellcheck disable=SC2317  # called by the traps
pass() {
  signals=$((signals + 1))
  if [ -z "$job" ]; then
    return 0
  elif [ "$inside" = yes ]; then
    kill "-$1" "$job" 2>/dev/null || true
  else
    # To the first process inside: unshare, which stands between, does not pass them on.
    pkill "-$1" -P "$job" || true
  fi
}
catch() {
  local signal
  for signal in INT TERM HUP USR1; do
    # shellcheck disable=SC2064  # the name of now
    trap "pass $signal" "$signal"
  done
}
# Waits for the job, and sets code. A wait that a signal has ended is over before the job is.
follow() {
  while :; do
    code=0
    wait "$job" || code=$?
    kill -0 "$job" 2>/dev/null || return 0
  done
}

# --- Outside: checks, then this script again in namespaces of its own ------------------------------------------------

if [ $inside = no ]; then
  [ "$(id -u)" -eq 0 ] || fail "this must be root, to make network namespaces and links"
  for tool in ip tc unshare nsenter setpriv setsid pgrep mpirun; do
    case $tool in
      ip | tc) package=iproute2 ;;
      pgrep) package=procps ;;
      mpirun) package=openmpi-bin ;;
      *) package=util-linux ;;
    esac
    command -v $tool >/dev/null || fail "there is no $tool: apt-get install $package"
  done
  unshare --net --uts --ipc --pid --fork --mount-proc true 2>/dev/null ||
    fail "the system forbids new namespaces: in a container that takes --privileged (CAP_SYS_ADMIN, CAP_NET_ADMIN)"

  # Control groups of version 1, or version 2 where the processor's time is handed on. Of runs that were killed nothing
  # else stays.
  rmdir_group() { rmdir "$1"/*/ "$1" 2>/dev/null || true; }
  make_group() {
    for root in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
      for group in "$root"/hadal-cluster-*; do
        kill -0 "${group##*-}" 2>/dev/null || rmdir_group "$group"
      done
      group=$root/hadal-cluster-$$
      if mkdir "$group" "$group/job"; then
        [ ! -e "$group/cpu.cfs_quota_us" ] || return 0
        if [ -e "$group/cpu.max" ] && echo +cpu >"$group/cgroup.subtree_control"; then return; fi
      fi
      rmdir_group "$group"
    done 2>/dev/null
    group=none
  }
  # A group for all: processes of none are scheduled by session (autogroup), and each node's are one. Linux 6.18 has let
  # ranks of one node that could run wait for minutes, while those of another on the same core waited for them inside
  # MPI. Who is in a group already, such as a job's of Slurm, stays there unless --share is asked for.
  group=none own=$(grep -E '^[0-9]+:([^:]*,)?cpu(,[^:]*)?:' /proc/self/cgroup || grep '^0::' /proc/self/cgroup || true)
  if [ "$share" != none ] || [[ $own == *:/ ]]; then make_group; fi
  [ "$group" != none ] || [ "$share" = none ] ||
    fail "--share needs a control group for processors, which this system does not let make"
  # shellcheck disable=SC2064  # the name of now
  [ "$group" = none ] || trap "rmdir_group '$group'" EXIT
  export HADAL_CLUSTER_GROUP=$group

  catch
  if [ -t 0 ]; then exec </dev/null; fi
  # When this process dies, unshare is killed, with it the first process inside, and so all others.
  setsid setpriv --pdeathsig KILL unshare --net --uts --ipc --pid --fork --kill-child --mount-proc \
    "$self" @inside "${arguments[@]}" <&0 &
  job=$!
  [ "$signals" -eq 0 ] || kill -KILL "$job"
  follow
  exit "$code"
fi

# --- Inside: the switch, the nodes, the job --------------------------------------------------------------------------

if [ "$HADAL_CLUSTER_GROUP" != none ] && ! echo $$ 2>/dev/null >"$HADAL_CLUSTER_GROUP/job/cgroup.procs"; then
  [ "$share" = none ] || fail "--share: the system does not let processes into $HADAL_CLUSTER_GROUP"
fi

# Where the network is built: says what failed and ends, which takes everything down again.
must() { "$@" || fail "'$*' failed"; }

# Limits what device $2 sends, on the node of process $1. A burst of 2 ms, but room for the largest packet (64 KiB).
limit() {
  [ "$rate" != none ] || return 0
  local kilobits=${rate%?bit} burst
  case $rate in
    *mbit) kilobits=$((kilobits * 1000)) ;;
    *gbit) kilobits=$((kilobits * 1000000)) ;;
  esac
  burst=$((kilobits / 4))
  [ $burst -ge 131072 ] || burst=131072
  must nsenter --target "$1" --net tc qdisc add dev "$2" root handle 1: tbf rate "$rate" burst "$burst" latency 50ms
}

# Mounts of this run only: hosts' names without a name server, and nothing of the machine's shared memory.
must mount -t tmpfs -o mode=1777 tmpfs /dev/shm
{
  echo "127.0.0.1 localhost"
  for ((k = 1; k <= count; k++)); do echo "10.77.0.$k node$k"; done
} >/dev/shm/hosts
must mount --bind /dev/shm/hosts /etc/hosts
# A bridge of a machine with a packet filter would pass its frames through it; this one is in a namespace without.
must ip link add switch type bridge
must ip link set switch up

nodes=() names=''
for ((k = 1; k <= count; k++)); do
  # The first process of a node; "ready" tells that its name and its shared memory are there.
  exec {answers}< <(exec unshare --net --uts --ipc --mount sh -c "
    hostname node$k && mount -t tmpfs -o mode=1777 tmpfs /dev/shm && ip link set lo up && echo ready &&
    exec sleep infinity")
  pid=$!
  answer=''
  read -r answer <&"$answers" || true
  exec {answers}<&-
  [ "$answer" = ready ] || fail "node$k could not be started"
  nodes+=("$pid")
  names+=${names:+,}node$k:$slots
  must ip link add "port$k" type veth peer name eth0 netns "$pid"
  must ip link set "port$k" master switch up
  must nsenter --target "$pid" --net ip address add "10.77.0.$k/24" dev eth0
  must nsenter --target "$pid" --net ip link set eth0 up
  limit "$pid" eth0
  limit $$ "port$k"
  if [ "$delay" != none ]; then
    parent=root
    [ "$rate" = none ] || parent="parent 1:1"
    # shellcheck disable=SC2086  # two words
    nsenter --target "$pid" --net tc qdisc add dev eth0 $parent netem delay "$delay" limit 100000 ||
      fail "--delay needs the kernel's sch_netem, which this one seems to lack"
  fi
done

export HADAL_CLUSTER_NODES="${nodes[*]}" HADAL_CLUSTER_COUNT=$count HADAL_CLUSTER_SLOTS=$slots
export HADAL_CLUSTER_SHARE=$share
allowed=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status)
HADAL_CLUSTER_CORES=$(tr , '\n' <<<"$allowed" | awk -F- '{ for (c = $1; c <= $NF; c++) printf "%d ", c }')
export HADAL_CLUSTER_CORES

# - plm, rsh_agent: the nodes' shell is this script, whatever a scheduler around offers.
# - orte_tmpdir_base: session files in each node's own shared memory, which ends with it.
# - pml, btl: TCP between nodes and shared memory within, whatever adapters the machine has.
parameters=(
  --mca plm rsh --mca plm_rsh_agent "$self @agent" --mca plm_rsh_no_tree_spawn 1
  --mca orte_tmpdir_base /dev/shm --mca pml ob1 --mca btl "self,vader,tcp")
command=("$program")
[ "$bind" = none ] || command=("$self" @rank "$program")

catch
CLUSTER_NODES=("${nodes[@]}")
(on_node node1 "$here/mpirun.sh" --allow-run-as-root --hosts "$names" --bind none --network 10.77.0.0/24 \
  "${parameters[@]}" ${mca[0]+"${mca[@]}"} ${restarts[0]+"${restarts[@]}"} \
  --program "${command[0]}" -- "${command[@]:1}" "$@") <&0 &
job=$!
[ "$signals" -eq 0 ] || kill -TERM "$job"
follow
if [ $report = yes ]; then
  for ((k = 1; k <= count; k++)); do
    # What the port of the switch has received, the node has sent.
    ip -s -o link show dev "port$k" | awk -v node="node$k" '{
      for (i = 1; i < NF; i++) { if ($i == "RX:") r = i; if ($i == "TX:") t = i }
      while ($r !~ /^[0-9]+$/) r++
      while ($t !~ /^[0-9]+$/) t++
      printf "local-cluster.sh: %s sent %d received %d bytes\n", node, $r, $t }' >&2
  done
fi
exit "$code"
