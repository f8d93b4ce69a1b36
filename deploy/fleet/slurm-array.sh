#!/bin/bash
# The lanes of a manifest by an array job of SLURM: `sbatch deploy/fleet/slurm-array.sh`. docs/fleet-schedulers.md explains it.
#
# The ledger's URL has no password here. It comes from ~/.pgpass (0600), or from another file that PGPASSFILE names.
#SBATCH --job-name=batch-upload
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=batch-upload-%A_%a.log
# SIGTERM a minute before the time is up, to this script: it hands it on, and what is in flight is finished and recorded.
#SBATCH --signal=B:TERM@60

set -u
manifest=${1:-/srv/batch-upload/fleet.yaml}
shards=8     # as many as --array has, which must begin at 0
starts=10    # of a shard at most
export BATCH_UPLOAD_LEDGER=${BATCH_UPLOAD_LEDGER:-postgresql://batch_upload@ledger.example.com/batch_upload?sslmode=verify-full}
export PATH=/opt/batch-upload/bin:$PATH

stopped=
trap 'stopped=1; kill -TERM "$upload"' TERM
batch-upload upload "$manifest" --shard "/$shards" --deadline 115m &
upload=$!
wait "$upload"
code=$?
if [ -n "$stopped" ]; then   # the signal ended that `wait` early
  wait "$upload"
  code=$?
fi

# 10 to 14 and 143: the same command goes on. All else is done, or needs a person.
case $code in
  10 | 11 | 12 | 13 | 14 | 143)
    if [ "${SLURM_RESTART_COUNT:-0}" -lt "$((starts - 1))" ]; then
      scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" && exit 0
    fi ;;
esac
exit "$code"
