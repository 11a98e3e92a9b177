# my-pictures/train/<class>/*.jpg and my-pictures/val/<class>/*.jpg
pip install -r requirements-dev.txt
# from the bundled weights, at the size they know, with random channels (sample), so that any may be missing, for 10
# epochs; the kernels are trained, so no temperature falls from 30; your classes get a last layer of their own
python -m train.run --model dynamic_vgg19 --init-from dynamic_vgg19 --lr 0.01 --crop-pct 0.875 \
    --image-size 96:10 --temperature-start 1 --channels sample --data-root my-pictures --run-dir runs/mine
python -m train.evaluate --checkpoint runs/mine --data-root my-pictures --split val --channels all
# a sensor's files, my-fields/train/<class>/*.tif …; bands by name or wavelength in µm, values divided by 10000
python -m train.run --model adaptive_vgg19 --init-from adaptive_vgg19 --lr 0.01 --crop-pct 0.875 \
    --image-size 96:10 --bands B,G,R,0.74,NIR --scale 10000 --channels sample --data-root my-fields --run-dir runs/fields
python -m train.evaluate --checkpoint runs/fields --data-root my-fields --split val --channels all
# your networks in the app, each replacing the bundled one of its kind
python app.py --checkpoint runs/mine runs/fields
