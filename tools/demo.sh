#!/usr/bin/env bash
# Train RT-DETR with SpaRTAN-XT, and SpaRTAN-XT as a classifier, on handwritten digits that ship inside scikit-learn;
# evaluate the checkpoints and draw. What `make demo` runs. Interrupted, it goes on from the last epoch.
set -euo pipefail
cd "$(dirname "$0")/.."

DETECTOR=rtdetr_spartan_xt_digits CLASSIFIER=spartan_xt_digits

cat <<'SCREEN'
mmspartan demo: handwritten digits, on the CPU or on one GPU, without a download

  1. Data         1,500 scenes of digits to train on, 200 scenes of other digits to evaluate     15 seconds
  2. Detector     RT-DETR with SpaRTAN-XT, 6 epochs from scratch                                10 minutes on 2 cores
  3. Classifier   SpaRTAN-XT, 8 epochs over 1,438 digits                                         3 minutes on 2 cores

Ctrl-C stops it; the next `make demo` goes on from the last epoch.
SCREEN

# quietly LOG COMMAND...
quietly() {
    python tools/misc/run_with_progress.py "$@"
}

# demo CONFIG DRAW_EVERY KEY...: train, evaluate, and draw predictions and the curves of KEYs of the log
demo() {
    local config=configs/$1.py out=work_dirs/$1 every=$2 epochs
    epochs=$(python -c "from mmengine.config import Config; print(Config.fromfile('$config').train_cfg.max_epochs)")
    if [ -f "$out/epoch_$epochs.pth" ]; then
        echo "     $out holds a finished training. Remove the folder to train anew."
    else
        quietly "$out/output.log" python tools/train.py "$config" --work-dir "$out" --resume
    fi
    rm -rf "$out/predictions"
    quietly "$out/output.log" python tools/test.py "$config" "$(cat "$out/last_checkpoint")" --work-dir "$out" \
        --out "$out/metrics.json" --out-item metrics --show-dir "$out/predictions" \
        --cfg-options default_hooks.visualization.interval="$every"
    quietly "$out/output.log" python tools/analysis_tools/plot_curves.py "$out" --keys "${@:3}" --out "$out/curves.png"
    quietly "$out/output.log" python tools/misc/contact_sheet.py "$out/predictions" --out "$out/predictions.png"
}

printf '\n1/3  Data\n'
quietly work_dirs/data.log python tools/dataset_converters/digits_to_coco.py --out data/digits_coco

printf '\n2/3  Detector (full log: work_dirs/%s/output.log)\n' $DETECTOR
demo $DETECTOR 10 loss coco/bbox_mAP

printf '\n3/3  Classifier (full log: work_dirs/%s/output.log)\n' $CLASSIFIER
demo $CLASSIFIER 20 loss accuracy/top1

printf '\nMeasured by tools/test.py on digits that were not trained on:\n\n'
python - $DETECTOR $CLASSIFIER <<'PYTHON'
import json
import sys
from pathlib import Path

print(f'  {"config":<28}{"metric":<18}{"value":>8}')
for name in sys.argv[1:]:
    metrics = json.loads(Path('work_dirs', name, 'metrics.json').read_text())
    for key in ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'accuracy/top1'):
        if key in metrics:
            print(f'  {name:<28}{key.split("/")[1]:<18}{metrics[key]:>8.3f}')
PYTHON
for name in $DETECTOR $CLASSIFIER; do
    printf '\n  %s\n' "$name"
    echo "    checkpoint    $(cat "work_dirs/$name/last_checkpoint")"
    echo "    predictions   work_dirs/$name/predictions.png, all in work_dirs/$name/predictions/"
    echo "    curves        work_dirs/$name/curves.png"
done
